//! ListServices.

use quorate_proto::v1;
use quorate_types::ErrorCode;

use super::clients::*;

fn list(
    world: &World,
    namespace: &str,
    limit: u32,
    after: Option<v1::ServiceKey>,
) -> v1::ListServicesResponse {
    world
        .registry
        .list_services(&v1::ListServicesRequest {
            namespace: namespace.into(),
            limit,
            after,
        })
        .unwrap()
}

#[test]
fn services_come_in_pages_in_the_order_of_their_names() {
    let world = World::new();
    let client = world.open("a");
    for n in 0..25 {
        client.ok(register(&format!("s{n:02}"), instance("i", 10)));
    }
    let mut names = Vec::new();
    let mut after = None;
    loop {
        let page = list(&world, "", 10, after);
        names.extend(
            page.services
                .iter()
                .map(|s| s.service.clone().unwrap().name),
        );
        if !page.more {
            assert_eq!(page.services.len(), 5);
            break;
        }
        assert_eq!(page.services.len(), 10);
        after = page.services.last().unwrap().service.clone();
    }
    let expected: Vec<_> = (0..25).map(|n| format!("s{n:02}")).collect();
    assert_eq!(names, expected);
    assert_eq!(list(&world, "", 0, None).services.len(), 25);
    assert!(list(&world, "other", 0, None).services.is_empty());
}

#[test]
fn a_summary_counts() {
    let world = World::new();
    let client = world.open("a");
    client.ok(register("web", instance("i", 10)));
    client.ok(register(
        "web",
        v1::Instance {
            status: v1::InstanceStatus::Draining.into(),
            ..instance("j", 10)
        },
    ));
    client.ok(subscribe("web", None));
    let other = v1::ServiceKey {
        namespace: "prod".into(),
        name: "web".into(),
    };
    world
        .registry
        .register(v1::RegisterRequest {
            service: Some(other.clone()),
            instance: Some(instance("i", 10)),
        })
        .unwrap();
    let all = list(&world, "*", 0, None);
    assert!(!all.more);
    let [default, prod] = &all.services[..] else {
        panic!()
    };
    assert_eq!(
        (default.instances, default.up, default.subscribers),
        (2, 1, 1)
    );
    assert_eq!(default.slot, 252);
    assert_eq!(prod.service, Some(other));
    assert_eq!((prod.instances, prod.up, prod.subscribers), (1, 1, 0));
}

#[test]
fn wrong_names_are_refused() {
    let world = World::new();
    let code = |namespace: &str, after| {
        let request = v1::ListServicesRequest {
            namespace: namespace.into(),
            limit: 0,
            after,
        };
        world.registry.list_services(&request).unwrap_err().code()
    };
    assert_eq!(code("no good", None), ErrorCode::InvalidArgument);
    assert_eq!(
        code("", Some(v1::ServiceKey::default())),
        ErrorCode::InvalidArgument
    );
}
