//! See [`lockgate_fuzz::proxy_header`].
#![cfg_attr(fuzzing, no_main)]

lockgate_fuzz::target!(proxy_header);
