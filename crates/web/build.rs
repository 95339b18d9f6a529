//! Tells the crate whether the page was built; builds nothing itself.
//!
//! `make page` makes `page/dist`; without it the binary serves a small page that says so.

use std::path::Path;

fn main() {
    // Asked when it runs: `env!` would be the checkout that compiled this script, which another checkout
    // with the same target directory uses again.
    let crate_dir = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let dist = Path::new(&crate_dir).join("../../page/dist");
    // Cargo looks at a path that does not exist as changed, and would build this crate again at
    // every call. An empty, git-ignored directory ends that; if it cannot be made, builds are slower.
    let _ = std::fs::create_dir_all(&dist);
    println!("cargo:rerun-if-changed={}", dist.display());
    println!("cargo:rustc-check-cfg=cfg(page_built)");
    // Where it is embedded from, so that the page of one checkout is never served by the program of another.
    println!("cargo:rustc-env=DAYBOOK_PAGE_DIR={}", dist.display());
    if dist.join("index.html").exists() {
        println!("cargo:rustc-cfg=page_built");
    }
}
