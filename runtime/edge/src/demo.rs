//! `millicore demo`: a simulated plant, a local Event Hubs endpoint and the pipeline, each a process of its own.

mod process;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, bail};

use self::process::{Pipeline, Simulator};
use crate::cli::DemoArguments;
use crate::screen::{self, View};
use crate::verbs::print;

/// The key of the local endpoint: a development key, good for nothing else.
const LOCAL_KEY: &str = "bWlsbGljb3JlLWxvY2FsLWRldmVsb3BtZW50LWtleQ==";

/// Runs the demo until it is left, or `stop` is set.
///
/// # Errors
/// A process does not start or dies, and its own words are passed on; or a cursor did not balance at the end.
pub(crate) fn run(arguments: &DemoArguments, stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    let folder = Folder::make()?;
    say(&format!(
        "starting the simulated plant: {} assets x {} tags, 2 updates/s each",
        arguments.assets, arguments.tags
    ))?;
    let (assets, tags) = (arguments.assets.to_string(), arguments.tags.to_string());
    let plant_arguments = ["--listen", "127.0.0.1:0", "--assets", &assets, "--tags", &tags];
    let plant = Simulator::start("bench-plc", &plant_arguments, &folder.path, &stop)?;
    say("starting the local Event Hubs endpoint")?;
    let hub_arguments = ["--listen", "127.0.0.1:0", "--hub", "millicore:4", "--key", LOCAL_KEY];
    let hub = Simulator::start("bench-eventhubs", &hub_arguments, &folder.path, &stop)?;
    let (opcua, amqp) = (plant.ready("/endpoints/0")?, hub.ready("/amqp")?);
    let names = Names::of_first(&plant.ready("/first_node_id")?)?;
    let (site, socket) = (folder.path.join("site.toml"), folder.path.join("control.sock"));
    std::fs::write(&site, site_text(arguments, &folder.path, &names, &opcua, &amqp))?;
    say(&format!("starting the pipeline: profile {}, site {}", arguments.profile, site.display()))?;
    let pipeline = Pipeline::start(&arguments.profile, &site, &folder.path)?;
    let mut client = pipeline.connect(&socket, &stop)?;
    let mqtt = if arguments.mqtt_port == 0 { "a free port".to_owned() } else { arguments.mqtt_port.to_string() };
    let title = format!(" millicore demo: OPC UA {opcua} -> MQTT {mqtt} -> Event Hubs {amqp} ");
    let view = View { title, duration: arguments.seconds.map(Duration::from_secs), plain: arguments.plain, stop };
    let last = screen::watch(&mut client, &view).map_err(|error| pipeline.last_words(error))?;
    drop(client);
    say("stopping: the pipeline first, so that what is under way arrives")?;
    pipeline.stop()?;
    drop((plant, hub));
    print(&screen::summary(&last))?;
    if !last.imbalances().is_empty() {
        bail!("the conservation law was broken");
    }
    Ok(())
}

fn say(line: &str) -> anyhow::Result<()> {
    print(&format!("{line}\n"))
}

/// How the plant names its assets and tags: `asset007`, `tag03`.
#[derive(Debug, PartialEq, Eq)]
struct Names {
    asset_digits_count: usize,
    tag_digits_count: usize,
}

impl Names {
    /// Learns it from the first NodeId, `ns=2;s=asset000.tag00`.
    fn of_first(node_id: &str) -> anyhow::Result<Self> {
        let names = node_id.split_once(";s=asset").and_then(|(_, rest)| rest.split_once(".tag"));
        let (asset, tag) = names.with_context(|| format!("the plant names its tags in another way: {node_id}"))?;
        Ok(Self { asset_digits_count: asset.len(), tag_digits_count: tag.len() })
    }

    fn asset(&self, index: u32) -> String {
        format!("asset{index:0width$}", width = self.asset_digits_count)
    }

    fn tag(&self, index: u32) -> String {
        format!("tag{index:0width$}", width = self.tag_digits_count)
    }
}

/// The site's file of the demo, in `folder`, with every tag of the plant.
fn site_text(arguments: &DemoArguments, folder: &Path, names: &Names, opcua: &str, amqp: &str) -> String {
    let mut text = format!(
        "name = \"plant\"\nstate_directory = {}\n\n[control]\nsocket = {}\n\n\
         [[listener]]\nbind = \"127.0.0.1:{}\"\nallow_anonymous = true\n\n\
         [[opcua]]\nname = \"simulated\"\nendpoint = \"{opcua}\"\nsecurity = \"None\"\n\
         update_period_ms = 500\nconflate = \"all\"\n",
        quoted(&folder.join("state")),
        quoted(&folder.join("control.sock")),
        arguments.mqtt_port,
    );
    for asset in (0..arguments.assets).map(|index| names.asset(index)) {
        push(&mut text, format_args!("\n[[opcua.asset]]\nname = \"{asset}\"\n[opcua.asset.tags]\n"));
        for tag in (0..arguments.tags).map(|index| names.tag(index)) {
            push(&mut text, format_args!("{tag} = \"ns=2;s={asset}.{tag}\"\n"));
        }
    }
    push(
        &mut text,
        format_args!(
            "\n[[flow]]\nname = \"to-event-hubs\"\nsources = [\"plant/data/#\"]\n[flow.event_hub]\nhub = \"millicore\"\n\
             endpoint = \"amqp://{amqp}\"\nconnection_string = \"Endpoint=sb://localhost;\
             SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey={LOCAL_KEY}\"\n"
        ),
    );
    text
}

/// A path as a string of TOML.
fn quoted(path: &Path) -> toml::Value {
    toml::Value::String(path.to_string_lossy().into_owned())
}

fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _always_ok = text.write_fmt(more);
}

/// A folder for this demo, readable by this user only and removed at its end.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn make() -> anyhow::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let path = std::env::temp_dir().join(format!("millicore-demo-{}", std::process::id()));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("cannot make the demo's folder {}", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing is lost when the folder stays: the next demo has one of its own.
        let _stays = std::fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Site;

    #[test]
    fn the_demo_writes_a_site_that_checks() {
        let arguments =
            DemoArguments { profile: "auto".into(), seconds: None, assets: 3, tags: 4, mqtt_port: 1883, plain: true };
        let names = Names::of_first("ns=2;s=asset000.tag00").unwrap();
        let text = site_text(&arguments, Path::new("folder"), &names, "opc.tcp://127.0.0.1:4840", "127.0.0.1:5672");
        let site = Site::parse(Path::new("site.toml"), &text).unwrap();
        assert_eq!((site.tags_count(), site.flows.len(), site.listeners.len()), (12, 1, 1));
        assert!(text.contains("tag03 = \"ns=2;s=asset002.tag03\""));
    }

    #[test]
    fn names_that_are_another_plant_s_are_refused() {
        assert!(Names::of_first("ns=2;s=Boiler.Temperature").is_err());
    }
}
