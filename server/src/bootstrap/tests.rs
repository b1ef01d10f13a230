use super::*;
use crate::config::ServeArguments;

fn config(name: &str, members: &[&str]) -> Config {
    let arguments = ServeArguments {
        name: Some(name.to_owned()),
        initial_cluster: Some(members.iter().map(|pair| pair.parse().unwrap()).collect()),
        initial_cluster_token: Some("etcd-cluster-1".to_owned()),
        ..ServeArguments::default()
    };
    Config::resolve(arguments).unwrap()
}

const THREE: [&str; 3] = [
    "a=http://127.0.0.1:12380",
    "b=http://127.0.0.1:22380",
    "c=http://127.0.0.1:32380",
];

#[test]
fn all_members_come_to_the_same_ids() {
    let of = |name, members: &[&str]| InitialCluster::of(&config(name, members)).unwrap();
    let a = of("a", &THREE).unwrap();
    let b = of(
        "b",
        &[
            "c=127.0.0.1:32380",
            "b=127.0.0.1:22380",
            "a=127.0.0.1:12380",
        ],
    )
    .unwrap();
    assert_eq!(a.cluster_id, b.cluster_id);
    assert_eq!(a.members, b.members);
    assert_ne!(a.member_id, b.member_id);
    assert_eq!(a.members[&b.member_id].name, "b");
    assert!(of("a", &[]).is_none());
}

#[test]
fn ids_are_those_of_etcd() {
    // From etcd's documentation: its local cluster of three, with its token.
    let a = InitialCluster::of(&config("a", &THREE)).unwrap().unwrap();
    let mut ids: Vec<String> = a
        .members
        .iter()
        .map(|(id, member)| format!("{} {id:x}", member.name))
        .collect();
    ids.sort();
    assert_eq!(
        ids,
        [
            "a 8211f1d0f64f3269",
            "b 91bc3c398fb3c146",
            "c fd422379fda50e48"
        ]
    );
    assert_eq!(format!("{:x}", a.cluster_id), "ef37ad9dc622a7c4");
}

#[test]
fn contradictions_are_told() {
    let refused = |config: &Config| InitialCluster::of(config).unwrap_err();
    let stranger = refused(&config("d", &THREE));
    assert!(
        stranger.contains("'d'") && stranger.contains("a, b, c"),
        "{stranger}"
    );
    let shared = refused(&config("a", &["a=h:1", "b=h:1"]));
    assert!(shared.contains("http://h:1"), "{shared}");
    let mut other = config("a", &THREE);
    other.advertise_peer = vec!["127.0.0.1:1".parse().unwrap()];
    let other = refused(&other);
    assert!(other.contains("--advertise-peer"), "{other}");
}
