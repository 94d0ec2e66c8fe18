//! Says `cfg(ring)` where the ring backend can be built: Linux, on what its bindings know.

#[expect(clippy::disallowed_methods, reason = "cargo speaks to build scripts by the environment")]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(ring)");
    let target = |name: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    let is_known =
        ["x86_64", "aarch64", "riscv64", "loongarch64", "powerpc64"].contains(&&*target("ARCH"));
    if target("OS") == "linux" && is_known {
        println!("cargo::rustc-cfg=ring");
    }
}
