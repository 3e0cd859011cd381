//! How the programs are linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let of = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    // The tables of all time zones hold 66,000 pointers: where the program may be loaded anywhere each of them is written at
    // each start, and 3.5 MB stay in memory for it.
    if of("OS") == "linux" && of("ENV") == "gnu" {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
