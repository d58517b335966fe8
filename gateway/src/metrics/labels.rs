//! Numbers for label values, so that counting compares no strings.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::MODEL_LABELS_MAX;

/// A label value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Label(u32);

impl Label {
    /// The value `unknown`, as Istio names what it does not know.
    pub(crate) const UNKNOWN: Self = Self(0);
    /// The value `other`, for models beyond the bound.
    pub(crate) const OTHER: Self = Self(1);
}

/// All label values ever used.
#[derive(Debug)]
pub(crate) struct Labels(Mutex<Names>);

#[derive(Debug, Default)]
struct Names {
    texts: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, Label>,
    models: usize,
}

impl Default for Labels {
    fn default() -> Self {
        let labels = Self(Mutex::default());
        labels.of_configuration("unknown");
        labels.of_configuration("other");
        labels
    }
}

impl Labels {
    /// The label of a name that the configuration gives: the operator bounds their number.
    pub(crate) fn of_configuration(&self, name: &str) -> Label {
        let mut names = self.lock();
        names.numbers.get(name).copied().unwrap_or_else(|| names.add(name))
    }

    /// The label of a model name that a client chose and a provider accepted; [`Label::OTHER`] beyond the bound.
    pub(crate) fn of_model(&self, name: &str) -> Label {
        let mut names = self.lock();
        if let Some(label) = names.numbers.get(name) {
            return *label;
        }
        if names.models >= MODEL_LABELS_MAX {
            return Label::OTHER;
        }
        names.models += 1;
        names.add(name)
    }

    /// The value.
    pub(crate) fn text(&self, label: Label) -> Arc<str> {
        self.lock()
            .texts
            .get(label.0 as usize)
            .map_or_else(|| "unknown".into(), Arc::clone)
    }

    fn lock(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names {
    fn add(&mut self, name: &str) -> Label {
        let label = Label(u32::try_from(self.texts.len()).unwrap_or(Label::OTHER.0));
        let text: Arc<str> = name.into();
        self.texts.push(Arc::clone(&text));
        self.numbers.insert(text, label);
        label
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_beyond_the_bound_share_one_label() {
        let labels = Labels::default();
        for n in 0..MODEL_LABELS_MAX {
            assert_ne!(labels.of_model(&format!("m{n}")), Label::OTHER);
        }
        assert_eq!(labels.of_model("one-more"), Label::OTHER);
        assert_eq!(&*labels.text(labels.of_model("m7")), "m7");
        assert_ne!(labels.of_configuration("configured-later"), Label::OTHER);
    }
}
