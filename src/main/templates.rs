//! Templates made by a running region's control plane.

use std::path::Path;

use tidegate::admin::template::apply::{self, ApplyError};
use tidegate::admin::template::document::{self, Settings};
use tidegate::admin::template::door::AdminListener;
use tidegate::cli;
use tidegate::model::problem::{Plain, Problem, Problems};
use tidegate::net::clock::Clock;

use crate::ask::{client, signer};
use crate::{Failure, block_on, other};

/// A template, with the defaults of its parameters.
pub(super) fn check(file: &Path) -> Result<(), Problems> {
    let name = file.display().to_string();
    let bytes = std::fs::read(file)
        .map_err(|err| Problems::from(Problem::of_file(&name, format!("cannot be read: {err}"))))?;
    let folder = file.parent().unwrap_or_else(|| Path::new("."));
    let template = document::read(&name, folder, &bytes)?;
    let settings = Settings { stack: "check".to_owned(), ..Settings::default() };
    apply::check(&template, &settings).map(drop)
}

pub(super) fn import(wanted: &cli::Import) -> Result<(), Failure> {
    let template = read_template(&wanted.template)?;
    let stem = wanted.template.file_stem().unwrap_or_default().to_string_lossy();
    // A stack's name has no dots: `shop.template.json` is `shop`.
    let stem = stem.split('.').next().unwrap_or_default().to_owned();
    let settings = Settings {
        stack: wanted.stack_name.clone().unwrap_or(stem),
        parameters: wanted.parameters.clone(),
        exports: wanted.exports.clone(),
    };
    let door = AdminListener::new(
        client(&wanted.door)?,
        signer(&wanted.door, wanted.region.as_deref())?,
        Clock::system(),
    );
    let run = apply::apply(&template, &settings, &door, wanted.dry_run);
    let report = block_on(run)?.map_err(|error| match error {
        ApplyError::Template(problems) => problems.into(),
        ApplyError::Region(reason) => other(Plain(&reason)),
    })?;
    if wanted.dry_run {
        println!("a dry run: nothing is changed");
    }
    for line in report.to_string().lines() {
        println!("{}", Plain(line));
    }
    if report.is_good() {
        return Ok(());
    }
    Err(other(
        "not everything is as the template says; see above, and repeat the run when it is mended",
    ))
}

fn read_template(file: &Path) -> Result<document::Template, Failure> {
    let name = file.display().to_string();
    let bytes = std::fs::read(file)
        .map_err(|err| Failure::Configuration(format!("{name}: cannot be read: {err}")))?;
    let folder = file.parent().unwrap_or_else(|| Path::new("."));
    Ok(document::read(&name, folder, &bytes)?)
}
