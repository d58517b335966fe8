//! See [`lockgate_fuzz::resource_load`].
#![cfg_attr(fuzzing, no_main)]

lockgate_fuzz::target!(resource_load);
