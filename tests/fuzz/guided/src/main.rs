//! The targets under LLVM's fuzzer, which looks for inputs that take new ways. `LOTBOOK_FUZZ` names the target; `scripts/fuzz` starts it.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use lotbook_fuzz::{Target, target};

fn chosen() -> &'static Target {
    static CHOSEN: OnceLock<&'static Target> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = std::env::var("LOTBOOK_FUZZ").unwrap_or_default();
        target(&name).unwrap_or_else(|| panic!("LOTBOOK_FUZZ={name} is no target"))
    })
}

fuzz_target!(|bytes: &[u8]| (chosen().run)(bytes));
