//! Calls what the engine does per request, in a module that has neither std nor an allocator.
//!
//! If any of it allocated, this would not link: there is no `#[global_allocator]`
//! to link with. `cargo xtask nostd` builds it for wasm32 and then looks into the
//! module, because code that the linker dropped would prove nothing.
#![no_std]

use core::hint::black_box;
use core::net::{IpAddr, Ipv4Addr};

use lockgate_core::cidr::Cidr;

/// `#[used]` keeps what it points to in the module; an exported name would need unsafe code.
#[used]
static ENTRY: extern "C" fn(u32) -> u32 = prove;

/// Every call gets its input through `black_box`, or the compiler would work the answer out itself.
extern "C" fn prove(address: u32) -> u32 {
    let peer = IpAddr::V4(Ipv4Addr::from(address));
    let block = black_box("10.0.0.0/8").parse::<Cidr>();
    u32::from(block.is_ok_and(|block| block.contains(peer)))
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
