//! How a member comes to its cluster: from the flags of its first start to its identity.
//!
//! Ids are derived as etcd derives them, so that all members come to the same ones without asking each other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use quorate_proto::v1::IdentifyRequest;
use quorate_raft::{Founding, Member};
use sha1::{Digest, Sha1};
use tonic::transport::Endpoint;

use crate::config::{Config, InitialClusterState, PeerUrl};
use crate::data_dir::Identity;
use crate::peers;

/// How long the others may take to say whether they know this member already. They may all be starting.
const ASKED_WITHIN: Duration = Duration::from_secs(1);

/// A cluster to be founded, and which of its members this one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InitialCluster {
    pub(crate) cluster_id: u64,
    pub(crate) member_id: u64,
    /// All of them, by id.
    pub(crate) members: BTreeMap<u64, Member>,
}

impl InitialCluster {
    /// What the flags say; `None` if they name no other members. The error is one sentence.
    pub(crate) fn of(config: &Config) -> Result<Option<Self>, String> {
        if config.initial_cluster.is_empty() {
            return Ok(None);
        }
        let mut urls: BTreeMap<&str, BTreeSet<&PeerUrl>> = BTreeMap::new();
        let mut owners: BTreeMap<&PeerUrl, &str> = BTreeMap::new();
        for member in &config.initial_cluster {
            if let Some(other) = owners.insert(&member.url, &member.name) {
                return Err(format!(
                    "--initial-cluster gives {} to both '{other}' and '{}'; each member needs its own",
                    member.url, member.name
                ));
            }
            urls.entry(&member.name).or_default().insert(&member.url);
        }
        let name = config.name.as_str();
        let Some(own) = urls.get(name) else {
            let names: Vec<&str> = urls.keys().copied().collect();
            return Err(format!(
                "--initial-cluster names {}, and this member is '{name}'; add it there, or say with --name which \
                 of them it is",
                names.join(", ")
            ));
        };
        let advertised: BTreeSet<&PeerUrl> = config.advertise_peer.iter().collect();
        if !advertised.is_empty() && advertised != *own {
            return Err(format!(
                "--initial-cluster and --advertise-peer give different URLs for '{name}'; make them the same, or \
                 leave --advertise-peer out"
            ));
        }
        let token = &config.initial_cluster_token;
        let mut members = BTreeMap::new();
        let mut member_id = 0;
        for (of, urls) in urls {
            let id = derive_member_id(&urls, token);
            if of == name {
                member_id = id;
            }
            let member = Member {
                name: of.to_owned(),
                peer_urls: urls.iter().map(ToString::to_string).collect(),
                client_urls: Vec::new(),
            };
            members.insert(id, member);
        }
        Ok(Some(Self {
            cluster_id: derive_cluster_id(members.keys()),
            member_id,
            members,
        }))
    }

    /// The identity of this member, if it may take it: nobody knows a member that has had it before.
    ///
    /// # Errors
    /// One sentence.
    pub(crate) async fn found(&self, config: &Config) -> Result<Identity, String> {
        if config.initial_cluster_state == InitialClusterState::Existing {
            return Err(
                "it is empty, and joining an existing cluster is not there yet; found a new one with \
                 --initial-cluster-state new"
                    .to_owned(),
            );
        }
        let others = self.members.iter().filter(|(id, _)| **id != self.member_id);
        let asked = join_all(others.map(|(_, member)| self.is_known_to(member))).await;
        if let Some(by) = asked.into_iter().flatten().next() {
            return Err(format!(
                "it is empty, but member '{}' of this cluster was started before, says {by}; a member that has \
                 lost its log must not vote again: restore the directory",
                config.name
            ));
        }
        if self.members.len().is_multiple_of(2) {
            tracing::warn!(
                members = self.members.len(),
                "an even number of members survives no more failures than one member less"
            );
        }
        Ok(Identity::founder(
            self.cluster_id,
            self.member_id,
            &self.members,
        ))
    }

    /// The URL of another member that knows this one as started, if it does.
    async fn is_known_to(&self, other: &Member) -> Option<String> {
        let url = other.peer_urls.first()?;
        let asked = async {
            let endpoint = Endpoint::from_shared(url.clone()).ok()?;
            let mut client = peers::client(endpoint.connect().await.ok()?);
            let request = IdentifyRequest {
                cluster_id: self.cluster_id,
                member_id: self.member_id,
            };
            let answer = client.identify(request).await.ok()?.into_inner();
            let own = answer
                .members
                .into_iter()
                .find(|member| member.id == self.member_id)?;
            // It announces where clients reach it once it takes part.
            (!own.client_urls.is_empty()).then(|| url.clone())
        };
        tokio::time::timeout(ASKED_WITHIN, asked).await.ok()?
    }
}

/// How the cluster of a member begins, if it has no log yet.
pub(crate) fn founding(identity: &Identity) -> Founding {
    match identity.founders() {
        Some(founders) => Founding::Together(founders),
        None => Founding::Alone,
    }
}

/// etcd: SHA-1 over the sorted URLs and the token; the first eight bytes.
fn derive_member_id(urls: &BTreeSet<&PeerUrl>, token: &str) -> u64 {
    let mut hash = Sha1::new();
    for url in urls {
        hash.update(url.as_str());
    }
    hash.update(token);
    first_eight(hash)
}

/// etcd: SHA-1 over the sorted member ids; the first eight bytes.
fn derive_cluster_id<'a>(sorted_members: impl Iterator<Item = &'a u64>) -> u64 {
    let mut hash = Sha1::new();
    for id in sorted_members {
        hash.update(id.to_be_bytes());
    }
    first_eight(hash)
}

fn first_eight(hash: Sha1) -> u64 {
    let digest = hash.finalize();
    let first = digest.first_chunk().expect("SHA-1 has twenty bytes");
    // 0 stands for none. It would take 2^64 clusters to see one.
    u64::from_be_bytes(*first).max(1)
}

#[cfg(test)]
mod tests;
