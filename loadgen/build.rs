//! Tests against the daemon itself are ignored, visibly, unless MAILFLY_BINARY names its program.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=MAILFLY_BINARY");
    println!("cargo:rustc-check-cfg=cfg(with_daemon)");
    if std::env::var_os("MAILFLY_BINARY").is_some() {
        println!("cargo:rustc-cfg=with_daemon");
    }
}
