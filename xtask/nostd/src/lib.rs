//! Calls what the engine does per request, in a module that has neither std nor an allocator.
//!
//! If any of it allocated, this would not link: there is no `#[global_allocator]`
//! to link with. `cargo xtask nostd` builds it for wasm32 and then looks into the
//! module, because code that the linker dropped would prove nothing.
#![no_std]

use core::hint::black_box;
use core::net::{IpAddr, Ipv4Addr};

use lockgate_core::answer::ErrorShape;
use lockgate_core::check::Checked;
use lockgate_core::decide::{Body, Known, Scratch, decide};
use lockgate_core::decision::{Decision, Destination};
use lockgate_core::llm::body::BodyScan;
use lockgate_core::llm::splice::{Field, Splice};
use lockgate_core::llm::usage::{Framing, Usage, UsageMeter};
use lockgate_core::request::{Connection, Request};
use lockgate_core::tables::{FieldWhen, Tables};

/// `#[used]` keeps what it points to in the module; an exported name would need unsafe code.
#[used]
static ENTRY: extern "C" fn(u32) -> u32 = prove;

/// Every call gets its input through `black_box`, or the compiler would work the answer out itself.
extern "C" fn prove(address: u32) -> u32 {
    let mut scan = BodyScan::new(black_box(1 << 20));
    let fed = scan.feed(black_box(br#"{"messages":[]}"#));
    let facts = fed.and_then(|()| scan.finish());
    let spliced = facts.map(|facts| Splice::plan(facts, [black_box(FIELD)]).map_or(0, |splice| splice.len()));
    let decided = decision(address, Body::Read(facts));
    let mut meter = UsageMeter::new(black_box(Framing::Sse));
    meter.feed(black_box(
        b"data: {\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n",
    ));
    let tokens = match meter.finish() {
        Usage::Known { prompt_tokens, .. } => prompt_tokens,
        Usage::Unknown(_) => 0,
    };
    decided ^ u32::from(spliced.is_ok()) ^ u32::from(tokens > 0)
}

const FIELD: Field<'static> = Field {
    name: "model",
    member: r#""model":"qwen""#,
    value: r#""qwen""#,
    when: FieldWhen::Absent,
};

fn decision(address: u32, body: Body<'_>) -> u32 {
    let headers: &[(&str, &[u8])] = &[("host", b"test.com")];
    let request = Request {
        method: "POST",
        authority: None,
        target: "/v1/chat/completions",
        headers: &headers,
        connection: Connection::plain(IpAddr::V4(Ipv4Addr::from(address)), 80),
    };
    let mut scratch = Scratch::new();
    let checked = Checked::new(&request, black_box(&[]));
    let known = Known {
        checked: Some(black_box(&checked)),
        ..Known::of_body(body)
    };
    match decide(
        black_box(&Tables::default()),
        black_box(&request),
        known,
        0,
        &mut scratch,
    ) {
        Decision::Forward(forward) => u32::from(matches!(forward.to, Destination::Provider(_))),
        Decision::Redirect(redirect) => u32::from(redirect.status),
        Decision::Abort(abort) => abort.delay_ms,
        Decision::Preflight(_) => 200,
        Decision::Respond(response) => u32::from(response.status),
        Decision::Check(_) | Decision::ReadBody | Decision::VerifyToken(_) => 1,
        Decision::Refuse(refusal) => u32::from(refusal.answer(ErrorShape::OpenAi).status),
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
