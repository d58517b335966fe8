//! See [`lockgate_fuzz::cidr`].
#![cfg_attr(fuzzing, no_main)]

lockgate_fuzz::target!(cidr);
