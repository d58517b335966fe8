//! Kubernetes' Secret: certificates and keys that other resources name.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::Meta;
use crate::config::secret::Secret;

/// A Secret. <https://kubernetes.io/docs/concepts/configuration/secret/>
#[derive(Debug, Clone)]
pub struct KubernetesSecret {
    /// Where it came from.
    pub meta: Meta,
    /// `data`, decoded, and `stringData`, which wins; values that are no text are left out.
    pub values: Vec<(Box<str>, Secret)>,
}

impl KubernetesSecret {
    /// The value of the first of these names that it has.
    #[must_use]
    pub fn value(&self, names: &[&str]) -> Option<&Secret> {
        let mut found = names
            .iter()
            .filter_map(|name| self.values.iter().rev().find(|(key, _)| &**key == *name));
        found.next().map(|(_, value)| value)
    }
}
