//! Flushing a stage's caches. Nothing changes in the store; every node is told.
//!
//! AWS: API Gateway REST API Reference, "FlushStageCache", "FlushStageAuthorizersCache".

use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Effect, Input, Operations, Outcome};
use crate::admin::rest::{deployments, stages};
use crate::store::control::Body;

pub const OPERATIONS: Operations = &[
    ("FlushStageCache", flush_stage_cache),
    ("FlushStageAuthorizersCache", flush_stage_authorizers_cache),
];

fn flush_stage_cache(ctx: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let (api, stage) = named(ctx, input)?;
    ctx.effects.push(Effect::FlushStage { api, stage });
    Ok(Outcome::Body(Body::new()))
}

fn flush_stage_authorizers_cache(
    ctx: &mut Context<'_>,
    input: &Input,
) -> Result<Outcome, ApiError> {
    let (api, stage) = named(ctx, input)?;
    ctx.effects.push(Effect::FlushAuthorizers { api, stage });
    Ok(Outcome::Body(Body::new()))
}

fn named(ctx: &Context<'_>, input: &Input) -> Result<(String, String), ApiError> {
    let api = deployments::existing_api(ctx, input)?;
    stages::existing(ctx.txn, &api, input.label("stage_name"))?;
    Ok((api, input.label("stage_name").to_owned()))
}

#[cfg(test)]
#[path = "caches_tests.rs"]
mod tests;
