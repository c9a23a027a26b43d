//! Resolves a profile on this machine and shows the plan: `plan PROFILE [DRAWING.svg] [TABLE.KEY=VALUE ..]`, folded
//! where it must be.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use placement::{Fold, MachineFacts, Plan, Profile};

fn main() -> Result<(), Box<dyn Error>> {
    let mut profile = String::from("auto");
    let mut drawing = None;
    let mut overrides = Vec::new();
    for argument in env::args().skip(1) {
        match argument {
            file if Path::new(&file).extension().is_some_and(|extension| extension == "svg") => drawing = Some(file),
            key if key.contains('=') => overrides.push(key),
            name => profile = name,
        }
    }
    let facts = MachineFacts::read(Path::new("/"))?;
    let plan = Plan::resolve(&Profile::load(&profile, &overrides)?, &facts, Fold::Allow)?;
    print!("{}", plan.table());
    if let Some(file) = drawing {
        fs::write(file, plan.svg())?;
    }
    Ok(())
}
