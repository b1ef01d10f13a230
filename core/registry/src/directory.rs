//! The names of all services in order, across slots: for listing, and for counting those of a
//! namespace.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use quorate_types::{Error, ErrorCode, ServiceKey};

/// Every service in memory, by namespace and name.
#[derive(Default)]
pub(crate) struct Directory {
    namespaces: BTreeMap<Box<str>, BTreeMap<Box<str>, Arc<ServiceKey>>>,
}

// === impl Directory ===

impl Directory {
    /// Enters a service.
    ///
    /// # Errors
    /// `ResourceExhausted` if its namespace is full.
    pub(crate) fn enter(&mut self, key: &Arc<ServiceKey>, limit: usize) -> Result<(), Error> {
        let names = match self.namespaces.get_mut(key.namespace()) {
            Some(names) => names,
            None => self.namespaces.entry(key.namespace().into()).or_default(),
        };
        if names.len() >= limit && !names.contains_key(key.name()) {
            return Err(Error::new(
                ErrorCode::ResourceExhausted,
                format!(
                    "namespace {} has {limit} services, the limit",
                    key.namespace()
                ),
            ));
        }
        names.insert(key.name().into(), key.clone());
        Ok(())
    }

    pub(crate) fn leave(&mut self, key: &ServiceKey) {
        if let Some(names) = self.namespaces.get_mut(key.namespace()) {
            names.remove(key.name());
            if names.is_empty() {
                self.namespaces.remove(key.namespace());
            }
        }
    }

    /// The services after `after`, at most `limit`, of one namespace or of all; and whether there
    /// are more.
    pub(crate) fn page(
        &self,
        namespace: Option<&str>,
        after: Option<&ServiceKey>,
        limit: usize,
    ) -> (Vec<Arc<ServiceKey>>, bool) {
        let first = after.map(ServiceKey::namespace).max(namespace);
        let mut keys: Vec<_> = self
            .namespaces
            .range::<str, _>((first.map_or(Unbounded, Included), Unbounded))
            .take_while(|(name, _)| namespace.is_none_or(|wanted| ***name == *wanted))
            .flat_map(|(name, services)| {
                let above = after
                    .filter(|after| after.namespace() == &**name)
                    .map_or(Unbounded, |after| Excluded(after.name()));
                services.range::<str, _>((above, Unbounded))
            })
            .map(|(_, key)| key.clone())
            .take(limit.saturating_add(1))
            .collect();
        let more = keys.len() > limit;
        keys.truncate(limit);
        (keys, more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(names: &[(&str, &str)]) -> Directory {
        let mut directory = Directory::default();
        for (namespace, name) in names {
            let key = Arc::new(ServiceKey::new(namespace, name).unwrap());
            directory.enter(&key, 100).unwrap();
        }
        directory
    }

    fn names(page: &(Vec<Arc<ServiceKey>>, bool)) -> Vec<String> {
        page.0.iter().map(|key| key.to_string()).collect()
    }

    #[test]
    fn pages_follow_the_order_of_names_across_namespaces() {
        let directory = directory(&[("b", "x"), ("a", "z"), ("b", "a"), ("c", "m"), ("a", "b")]);
        let mut after = None;
        let mut seen = Vec::new();
        loop {
            let page = directory.page(None, after.as_ref(), 2);
            seen.extend(names(&page));
            if !page.1 {
                break;
            }
            after = page.0.last().map(|key| (**key).clone());
        }
        assert_eq!(seen, ["a/b", "a/z", "b/a", "b/x", "c/m"]);
    }

    #[test]
    fn one_namespace_is_listed_alone() {
        let directory = directory(&[("b", "x"), ("a", "z"), ("b", "a"), ("c", "m")]);
        let after = |namespace, name| ServiceKey::new(namespace, name).unwrap();
        assert_eq!(names(&directory.page(Some("b"), None, 9)), ["b/a", "b/x"]);
        assert_eq!(
            names(&directory.page(Some("b"), Some(&after("b", "a")), 9)),
            ["b/x"]
        );
        assert_eq!(
            names(&directory.page(Some("b"), Some(&after("a", "q")), 9)),
            ["b/a", "b/x"]
        );
        assert!(
            directory
                .page(Some("b"), Some(&after("c", "a")), 9)
                .0
                .is_empty()
        );
        assert!(directory.page(Some("none"), None, 9).0.is_empty());
    }

    #[test]
    fn a_namespace_has_a_limit_and_forgets_who_leaves() {
        let mut directory = Directory::default();
        let key = |name| Arc::new(ServiceKey::new("", name).unwrap());
        directory.enter(&key("a"), 1).unwrap();
        directory.enter(&key("a"), 1).unwrap();
        let error = directory.enter(&key("b"), 1).unwrap_err();
        assert_eq!(error.code(), ErrorCode::ResourceExhausted);
        assert!(error.message().contains("1 services"));
        directory.leave(&key("a"));
        directory.enter(&key("b"), 1).unwrap();
    }
}
