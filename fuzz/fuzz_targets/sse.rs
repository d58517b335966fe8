//! See [`lockgate_fuzz::sse`].
#![cfg_attr(fuzzing, no_main)]

lockgate_fuzz::target!(sse);
