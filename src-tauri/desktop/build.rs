//! Checks that the window's files are there and lets Tauri generate its context.
use std::{fs, io, path::Path};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The window's files are embedded at compile time: without this a changed ui/dist is not picked up.
    println!("cargo:rerun-if-changed=ui/dist");
    placeholder_page()?;
    tauri_build::try_build(
        tauri_build::Attributes::new().capabilities_path_pattern("./src-tauri/capabilities/*.json"),
    )?;
    tidy_schemas()?;
    Ok(())
}

/// Lets the workspace compile before the UI was built; the page says what to do.
fn placeholder_page() -> io::Result<()> {
    let page = Path::new("ui/dist/index.html");
    if page.exists() {
        return Ok(());
    }
    fs::create_dir_all("ui/dist")?;
    fs::write(page, "<!doctype html><p>The UI is not built. Run <code>make run</code>.</p>")
}

/// Moves what tauri-build always writes to ./gen out of the top level.
fn tidy_schemas() -> io::Result<()> {
    if !Path::new("gen").exists() {
        return Ok(());
    }
    if Path::new("src-tauri/gen").exists() {
        fs::remove_dir_all("src-tauri/gen")?;
    }
    fs::rename("gen", "src-tauri/gen")
}
