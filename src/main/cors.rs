//! Sharing an API with web pages, by a running region's control plane.

use tidegate::admin::cors::{self, Wish};
use tidegate::admin::template::door::AdminListener;
use tidegate::cli;
use tidegate::model::problem::Plain;
use tidegate::net::clock::Clock;

use crate::ask::{client, signer};
use crate::{Failure, block_on, other};

pub(super) fn enable(wanted: &cli::CorsEnable) -> Result<(), Failure> {
    let signer = signer(&wanted.door, wanted.region.as_deref())?;
    let door = AdminListener::new(client(&wanted.door)?, signer, Clock::system());
    let wish = Wish {
        api: wanted.api.clone(),
        origins: wanted.origins.clone(),
        paths: wanted.paths.clone(),
        headers: wanted.headers.clone(),
        credentials: wanted.credentials,
        max_age_seconds: wanted.max_age,
        deploy: wanted.deploy.clone(),
    };
    let report = block_on(cors::enable(&door, &wish))?.map_err(other)?;
    for line in &report.done {
        println!("{}", Plain(line));
    }
    for line in &report.left {
        println!("left to do: {}", Plain(line));
    }
    Ok(())
}
