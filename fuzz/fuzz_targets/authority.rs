//! See [`lockgate_fuzz::authority`].
#![cfg_attr(fuzzing, no_main)]

lockgate_fuzz::target!(authority);
