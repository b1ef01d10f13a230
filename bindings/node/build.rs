//! Tells the linker what Node brings itself.

fn main() {
    napi_build::setup();
}
