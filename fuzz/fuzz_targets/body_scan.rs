//! See [`lockgate_fuzz::body_scan`].
#![cfg_attr(fuzzing, no_main)]

lockgate_fuzz::target!(body_scan);
