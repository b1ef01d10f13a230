//! The published Rust `etcd-client`, unmodified.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use etcd_client::{
    Client, Compare, CompareOp, DeleteOptions, EventType, GetOptions, LockOptions, ProclaimOptions,
    PutOptions, ResignOptions, SortOrder, SortTarget, Txn, TxnOp, WatchOptions,
};
use quorate_foreign::Target;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

async fn connect(target: &Target) -> Result<Client> {
    Ok(Client::connect([target.endpoint()], None).await?)
}

#[tokio::test]
async fn keys_are_put_read_and_deleted() -> Result<()> {
    let target = Target::start()?;
    let mut client = connect(&target).await?;
    let prefix = target.unique("kv");
    for number in 0..5 {
        client
            .put(format!("{prefix}/{number}"), format!("v{number}"), None)
            .await?;
    }
    let first = format!("{prefix}/0");
    let replaced = client
        .put(
            first.as_str(),
            "again",
            Some(PutOptions::new().with_prev_key()),
        )
        .await?;
    ensure!(replaced.prev_key().context("no previous")?.value() == b"v0");

    let one = client.get(first.as_str(), None).await?;
    let kv = one.kvs().first().context("not found")?;
    ensure!(kv.value() == b"again" && kv.version() == 2);
    ensure!(kv.mod_revision() > kv.create_revision());

    let some = client
        .get(
            format!("{prefix}/"),
            Some(
                GetOptions::new()
                    .with_prefix()
                    .with_limit(2)
                    .with_sort(SortTarget::Key, SortOrder::Descend),
            ),
        )
        .await?;
    ensure!(some.count() == 5 && some.more() && some.kvs().len() == 2);
    ensure!(some.kvs()[0].key_str()? == format!("{prefix}/4"));

    let past = client
        .get(
            first.as_str(),
            Some(GetOptions::new().with_revision(kv.create_revision())),
        )
        .await?;
    ensure!(past.kvs()[0].value() == b"v0");

    let deleted = client
        .delete(
            format!("{prefix}/"),
            Some(DeleteOptions::new().with_prefix().with_prev_key()),
        )
        .await?;
    ensure!(deleted.deleted() == 5 && deleted.prev_kvs().len() == 5);
    ensure!(client.get(first, None).await?.count() == 0);
    Ok(())
}

#[tokio::test]
async fn transactions_compare_and_swap() -> Result<()> {
    let target = Target::start()?;
    let mut client = connect(&target).await?;
    let key = target.unique("txn");
    let create = |value: &str| {
        Txn::new()
            .when([Compare::create_revision(key.as_str(), CompareOp::Equal, 0)])
            .and_then([TxnOp::put(key.as_str(), value, None)])
            .or_else([TxnOp::get(key.as_str(), None)])
    };
    ensure!(client.txn(create("first")).await?.succeeded());
    let second = client.txn(create("second")).await?;
    ensure!(!second.succeeded());
    match second.op_responses().first().context("no response")? {
        etcd_client::TxnOpResponse::Get(get) => ensure!(get.kvs()[0].value() == b"first"),
        other => anyhow::bail!("unexpected {other:?}"),
    }
    Ok(())
}

#[tokio::test]
async fn watches_see_every_change_also_past_ones() -> Result<()> {
    let target = Target::start()?;
    let mut client = connect(&target).await?;
    let key = target.unique("watch");
    let first = client.put(key.as_str(), "1", None).await?;
    let revision = first.header().context("no header")?.revision();
    client.put(key.as_str(), "2", None).await?;
    client.delete(key.as_str(), None).await?;

    let options = WatchOptions::new()
        .with_start_revision(revision)
        .with_prev_key();
    let mut stream = client.watch(key.as_str(), Some(options)).await?;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let response = timeout(PATIENCE, stream.message())
            .await??
            .context("the watch has ended")?;
        for event in response.events() {
            let kv = event.kv().context("no kv")?;
            let before = event.prev_kv().map(|kv| kv.value().to_vec());
            seen.push((event.event_type(), kv.value().to_vec(), before));
        }
    }
    ensure!(
        seen == vec![
            (EventType::Put, b"1".to_vec(), None),
            (EventType::Put, b"2".to_vec(), Some(b"1".to_vec())),
            (EventType::Delete, Vec::new(), Some(b"2".to_vec())),
        ],
        "{seen:?}"
    );
    stream.request_progress().await?;
    let progress = timeout(PATIENCE, stream.message())
        .await??
        .context("the watch has ended")?;
    ensure!(progress.events().is_empty() && progress.header().is_some());
    Ok(())
}

#[tokio::test]
async fn a_compacted_revision_is_gone() -> Result<()> {
    let target = Target::start()?;
    let mut client = connect(&target).await?;
    let key = target.unique("compact");
    let first = client.put(key.as_str(), "1", None).await?;
    let old = first.header().context("no header")?.revision();
    let second = client.put(key.as_str(), "2", None).await?;
    let new = second.header().context("no header")?.revision();
    client.compact(new, None).await?;
    let error = client
        .get(key.as_str(), Some(GetOptions::new().with_revision(old)))
        .await
        .err()
        .context("reading a compacted revision succeeded")?;
    ensure!(
        error
            .to_string()
            .contains("etcdserver: mvcc: required revision has been compacted"),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn leases_take_their_keys_with_them() -> Result<()> {
    let target = Target::start()?;
    let mut client = connect(&target).await?;
    let key = target.unique("lease");
    let lease = client.lease_grant(60, None).await?.id();
    client
        .put(key.as_str(), "v", Some(PutOptions::new().with_lease(lease)))
        .await?;
    let (mut keeper, mut answers) = client.lease_keep_alive(lease).await?;
    keeper.keep_alive().await?;
    let answer = timeout(PATIENCE, answers.message())
        .await??
        .context("no answer")?;
    ensure!(answer.ttl() == 60 && answer.id() == lease);
    let left = client
        .lease_time_to_live(
            lease,
            Some(etcd_client::LeaseTimeToLiveOptions::new().with_keys()),
        )
        .await?;
    ensure!(left.granted_ttl() == 60 && left.keys() == [key.as_bytes().to_vec()]);
    ensure!(
        client
            .leases()
            .await?
            .leases()
            .iter()
            .any(|one| one.id() == lease)
    );
    client.lease_revoke(lease).await?;
    ensure!(client.get(key, None).await?.count() == 0);
    let error = client
        .lease_revoke(lease)
        .await
        .err()
        .context("revoked twice")?;
    ensure!(
        error.to_string().contains("requested lease not found"),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn an_expired_lease_is_pushed_as_a_delete() -> Result<()> {
    let target = Target::start()?;
    let mut client = connect(&target).await?;
    let key = target.unique("expiry");
    let granted = client.lease_grant(1, None).await?;
    client
        .put(
            key.as_str(),
            "v",
            Some(PutOptions::new().with_lease(granted.id())),
        )
        .await?;
    let mut stream = client.watch(key.as_str(), None).await?;
    loop {
        let response = timeout(PATIENCE, stream.message())
            .await??
            .context("the watch has ended")?;
        if response
            .events()
            .iter()
            .any(|event| event.event_type() == EventType::Delete)
        {
            return Ok(());
        }
        ensure!(response.created(), "unexpected {response:?}");
    }
}

#[tokio::test]
async fn a_lock_has_one_holder_and_is_handed_over() -> Result<()> {
    let target = Target::start()?;
    let mut client = connect(&target).await?;
    let name = target.unique("lock");
    let lease = client.lease_grant(60, None).await?.id();
    let first = client
        .lock(name.as_str(), Some(LockOptions::new().with_lease(lease)))
        .await?;
    let mut other = connect(&target).await?;
    let waiting = tokio::spawn({
        let name = name.clone();
        async move {
            let lease = other.lease_grant(60, None).await?.id();
            other
                .lock(name, Some(LockOptions::new().with_lease(lease)))
                .await
        }
    });
    // The second has queued up once its key is there; only then is the first let go.
    let since = first.header().context("no header")?.revision();
    let options = WatchOptions::new().with_prefix().with_start_revision(since);
    let mut queue = client.watch(format!("{name}/"), Some(options)).await?;
    let mut tickets = 0;
    while tickets < 2 {
        let response = timeout(PATIENCE, queue.message())
            .await??
            .context("the watch has ended")?;
        tickets += response.events().len();
    }
    ensure!(!waiting.is_finished());
    client.unlock(first.key()).await?;
    let second = timeout(PATIENCE, waiting).await???;
    ensure!(second.key() != first.key());
    ensure!(second.key().starts_with(name.as_bytes()));
    Ok(())
}

#[tokio::test]
async fn an_election_has_one_leader_who_proclaims_and_resigns() -> Result<()> {
    let target = Target::start()?;
    let mut client = connect(&target).await?;
    let name = target.unique("election");
    let lease = client.lease_grant(60, None).await?.id();
    let won = client.campaign(name.as_str(), "anna", lease).await?;
    let leader = won.leader().context("no leader key")?.clone();
    ensure!(leader.name() == name.as_bytes() && leader.lease() == lease && leader.rev() > 0);

    let seen = client.leader(name.as_str()).await?;
    ensure!(seen.kv().context("no leader")?.value() == b"anna");
    let mut observed = client.observe(name.as_str()).await?;
    let first = timeout(PATIENCE, observed.message())
        .await??
        .context("the observation has ended")?;
    ensure!(first.kv().context("no kv")?.value() == b"anna");

    client
        .proclaim(
            "anna again",
            Some(ProclaimOptions::new().with_leader(leader.clone())),
        )
        .await?;
    let second = timeout(PATIENCE, observed.message())
        .await??
        .context("the observation has ended")?;
    ensure!(second.kv().context("no kv")?.value() == b"anna again");

    client
        .resign(Some(ResignOptions::new().with_leader(leader)))
        .await?;
    let error = client
        .leader(name)
        .await
        .err()
        .context("there is still a leader")?;
    ensure!(error.to_string().contains("election: no leader"), "{error}");
    Ok(())
}

#[tokio::test]
async fn the_server_names_itself() -> Result<()> {
    let target = Target::start()?;
    let mut client = connect(&target).await?;
    let status = client.status().await?;
    ensure!(status.version().starts_with("3.") && status.leader() != 0 && status.raft_term() > 0);
    let members = client.member_list().await?;
    ensure!(members.members().len() == 1);
    ensure!(members.members()[0].id() == status.leader());
    Ok(())
}
