//! Draining and stopping.

use std::time::Duration;

use quorate_proto::v1;
use quorate_proto::v1::session_command::Body as Command;
use quorate_proto::v1::session_event::Body as Event;
use quorate_types::ErrorCode;

use super::clients::*;
use crate::SessionEnd;

#[test]
fn draining_tells_every_session_another_time_to_come_back() {
    let world = World::new();
    let clients: Vec<_> = (0..50).map(|n| world.open(&format!("c{n}"))).collect();
    world.registry.drain(Duration::from_secs(10), "upgrade");
    let mut times: Vec<_> = clients
        .iter()
        .map(|client| match &client.take()[..] {
            [Event::Drain(drain)] => {
                assert_eq!(drain.reason, "upgrade");
                assert!(drain.reconnect_after_ms <= 10_000);
                drain.reconnect_after_ms
            }
            other => panic!("{other:?}"),
        })
        .collect();
    times.sort_unstable();
    times.dedup();
    assert!(
        times.len() > 25 && times[times.len() - 1] - times[0] > 5_000,
        "{times:?}"
    );

    // Sessions go on until the server stops; new ones are refused.
    clients[0].ok(register("web", instance("i", 10)));
    clients[1].ok(subscribe("web", None));
    let open = Command::Open(v1::SessionOpen {
        client_id: "new".into(),
        ..Default::default()
    });
    let error = world.registry.open(request([(1, open)])).unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (ErrorCode::Unavailable, "upgrade")
    );

    world.registry.stop();
    for client in &clients {
        assert_eq!(client.ended(), Some(SessionEnd::Stopped));
    }
    assert_eq!(
        SessionEnd::Stopped.error().unwrap().code(),
        ErrorCode::Unavailable
    );
    drop(clients);
    assert_eq!(world.ids("web"), ["i"]);
}
