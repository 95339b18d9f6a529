//! Tells the crate whether the page was built; builds nothing itself.
//!
//! `make page` makes `page/dist`; without it the binary serves a small page that says so.

use std::path::Path;

fn main() {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../page/dist");
    // Cargo looks at a path that does not exist as changed, and would build this crate again at
    // every call. An empty, git-ignored directory ends that; if it cannot be made, builds are slower.
    let _ = std::fs::create_dir_all(&dist);
    println!("cargo:rerun-if-changed={}", dist.display());
    println!("cargo:rustc-check-cfg=cfg(page_built)");
    if dist.join("index.html").exists() {
        println!("cargo:rustc-cfg=page_built");
    }
}
