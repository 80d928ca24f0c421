//! Users of the control plane, in the region's store.

use std::path::PathBuf;

use tidegate::admin::iam::users::{self, IamError, NewKey};
use tidegate::cli::{IamCommand, Place};
use tidegate::net::clock::Clock;
use tidegate::net::tasks::Tasks;
use tidegate::store::control::{ControlStore, Txn};
use tidegate::topology::Overrides;
use zeroize::Zeroizing;

use crate::serve::control_runtime;
use crate::{Failure, other, read_topology};

pub(super) fn manage(command: IamCommand) -> Result<(), Failure> {
    let now = Clock::system().now();
    match command {
        IamCommand::List { json, place } => {
            let found = with_store(&place, |txn| Ok(users::list(txn)))?;
            if json {
                println!("{}", serde_json::to_string_pretty(&found).map_err(other)?);
            } else {
                print!("{}", users::table(&found));
            }
        }
        IamCommand::CreateUser { user, place } => {
            let name = user.clone();
            with_store(&place, move |txn| users::create_user(txn, &name, now))?;
            println!("user {user} is there; `tidegate iam attach-policy` lets it do something");
        }
        IamCommand::DeleteUser { user, place } => {
            let name = user.clone();
            with_store(&place, move |txn| users::delete_user(txn, &name))?;
            println!("user {user} is gone, with its keys and policies");
        }
        IamCommand::CreateKey { user, access_key_id, secret_file, place } => {
            let given = match (access_key_id, secret_file) {
                (Some(id), Some(file)) => {
                    let secret = std::fs::read_to_string(&file)
                        .map_err(|err| other(format!("{}: {err}", file.display())))?;
                    Some((id, Zeroizing::new(secret.trim_end().to_owned())))
                }
                _ => None,
            };
            let key = with_store(&place, move |txn| match &given {
                Some((id, secret)) => users::take_key(txn, &user, id, secret, now),
                None => users::create_key(txn, &user, now),
            })?;
            print_key(&key);
        }
        IamCommand::DeleteKey { access_key_id, place } => {
            let id = access_key_id.clone();
            with_store(&place, move |txn| users::delete_key(txn, &id))?;
            println!("access key {access_key_id} opens nothing any more");
        }
        IamCommand::AttachPolicy { user, policy, file, place } => {
            let read = |file: PathBuf| {
                std::fs::read_to_string(&file)
                    .map_err(|err| other(format!("{}: {err}", file.display())))
            };
            let document = file.map(read).transpose()?;
            let (name, known) = (user.clone(), policy.clone());
            with_store(&place, move |txn| {
                users::attach_policy(txn, &name, &known, document.as_deref())
            })?;
            println!("user {user} has policy {policy}");
        }
        IamCommand::DetachPolicy { user, policy, place } => {
            let (name, known) = (user.clone(), policy.clone());
            with_store(&place, move |txn| users::detach_policy(txn, &name, &known))?;
            println!("user {user} has policy {policy} no more");
        }
    }
    Ok(())
}

/// One change of the region's store, whether the region runs or not.
fn with_store<T: Send + 'static>(
    place: &Place,
    work: impl FnMut(&mut Txn) -> Result<T, IamError> + Send + 'static,
) -> Result<T, Failure> {
    let overrides = Overrides { data: place.data.clone(), port_base: None };
    let topology = read_topology(place.topology.as_deref(), &overrides)?;
    let region = &topology.region;
    std::fs::create_dir_all(&region.common.data).map_err(other)?;
    let config = region.store.clone().control();
    let runtime = control_runtime()?;
    runtime.block_on(async {
        let tasks = Tasks::new(runtime.handle().clone());
        let store = ControlStore::open(config, Clock::system(), tasks.clone()).await;
        let store = store.map_err(other)?;
        let done = store.transact(work).await;
        tasks.stopped().cancel();
        tasks.ended().await;
        done.map_err(other)?.map(|committed| committed.value).map_err(other)
    })
}

/// The only time a secret is shown.
pub(super) fn print_key(key: &NewKey) {
    println!("access key of user {}; the secret is shown this once:", key.user);
    println!("  export AWS_ACCESS_KEY_ID={}", key.access_key_id);
    println!("  export AWS_SECRET_ACCESS_KEY={}", key.secret_access_key.as_str());
}
