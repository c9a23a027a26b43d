//! The address space of one server: a folder for each asset, a variable for each tag.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use opcua::server::CreateMonitoredItem;
use opcua::server::address_space::{AddressSpace, VariableBuilder};
use opcua::server::diagnostics::NamespaceMetadata;
use opcua::server::node_manager::memory::InMemoryNodeManagerImpl;
use opcua::server::node_manager::{MonitoredItemRef, ParsedReadValueId, RequestContext, ServerContext};
use opcua::sync::RwLock;
use opcua::types::{
    DataTypeId, DataValue, Identifier, NodeId, ObjectId, StatusCode, TimestampsToReturn, VariableTypeId,
};

use crate::names::{NAMESPACE_INDEX, NAMESPACE_URI, Names};
use crate::tags::Tags;
use crate::value::ValueFormat;

/// What the server part of the crate asks about our nodes. Values come from [`Tags`], all else from the crate's
/// address space in memory.
pub(crate) struct PlantNodes {
    server_index: u32,
    names: Names,
    format: ValueFormat,
    tags: Arc<Mutex<Tags>>,
    monitored_items: Arc<AtomicI64>,
}

impl PlantNodes {
    /// Nodes of server `server_index`. `monitored_items` counts those that exist.
    pub(crate) fn new(
        server_index: u32,
        names: Names,
        format: ValueFormat,
        tags: Arc<Mutex<Tags>>,
        monitored_items: Arc<AtomicI64>,
    ) -> Self {
        Self { server_index, names, format, tags, monitored_items }
    }

    /// Announces the namespace.
    ///
    /// # Panics
    /// If its index is not [`NAMESPACE_INDEX`]: the crate gives 0 and 1 away itself, and this is the only other one.
    pub(crate) fn announce(context: &ServerContext, address_space: &mut AddressSpace) {
        let index = context.type_tree.write().namespaces_mut().add_namespace(NAMESPACE_URI);
        assert_eq!(index, NAMESPACE_INDEX, "the plant's namespace follows those of OPC UA and of the server");
        address_space.add_namespace(NAMESPACE_URI, index);
    }

    /// Place of the node among this server's tags; `None` if it is none.
    fn local_of(&self, node_id: &NodeId) -> Option<u32> {
        let Identifier::String(identifier) = &node_id.identifier else { return None };
        let range = self.names.tags_of_server(self.server_index);
        let index = self.names.index_of(identifier.as_ref()).filter(|index| range.contains(index))?;
        (node_id.namespace == NAMESPACE_INDEX).then_some(index - range.start)
    }

    fn read_value(
        &self,
        context: &RequestContext,
        address_space: &AddressSpace,
        node: &ParsedReadValueId,
        max_age: f64,
        timestamps_to_return: TimestampsToReturn,
    ) -> DataValue {
        let Some(local) = self.local_of(&node.node_id) else {
            return address_space.read(context, node, max_age, timestamps_to_return);
        };
        if let Err(status) = address_space.validate_node_read(context, node) {
            return DataValue { status: Some(status), ..DataValue::default() };
        }
        let tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        let mut value = tags.data_value(local);
        if matches!(timestamps_to_return, TimestampsToReturn::Server | TimestampsToReturn::Neither) {
            value.source_timestamp = None;
        }
        if matches!(timestamps_to_return, TimestampsToReturn::Source | TimestampsToReturn::Neither) {
            value.server_timestamp = None;
        }
        value
    }
}

#[async_trait]
impl InMemoryNodeManagerImpl for PlantNodes {
    async fn init(&self, address_space: &mut AddressSpace, _context: ServerContext) {
        let data_type = match self.format {
            ValueFormat::Text20 => DataTypeId::String,
            ValueFormat::Number8 => DataTypeId::Double,
        };
        let assets = self.names.assets_of_server(self.server_index);
        let tags_per_asset = self.names.tags_of_server(self.server_index).len() / assets.len().max(1);
        let tags_per_asset = u32::try_from(tags_per_asset).expect("a checked scenario has at most 2^24 tags");
        for asset_index in assets {
            let asset = self.names.asset(asset_index);
            let folder = NodeId::new(NAMESPACE_INDEX, asset.as_str());
            address_space.add_folder(&folder, asset.as_str(), asset.as_str(), &ObjectId::ObjectsFolder.into());
            for tag_index in asset_index * tags_per_asset..(asset_index + 1) * tags_per_asset {
                let tag = self.names.tag(tag_index);
                let node_id = NodeId::new(NAMESPACE_INDEX, self.names.identifier(tag_index));
                VariableBuilder::new(&node_id, tag.as_str(), tag.as_str())
                    .data_type(data_type)
                    .has_type_definition(VariableTypeId::BaseDataVariableType)
                    .minimum_sampling_interval(0.0)
                    .organized_by(folder.clone())
                    .insert(address_space);
            }
        }
    }

    fn name(&self) -> &'static str {
        "plant"
    }

    fn namespaces(&self) -> Vec<NamespaceMetadata> {
        vec![NamespaceMetadata {
            namespace_uri: NAMESPACE_URI.to_owned(),
            namespace_index: NAMESPACE_INDEX,
            ..NamespaceMetadata::default()
        }]
    }

    async fn read_values(
        &self,
        context: &RequestContext,
        address_space: &RwLock<AddressSpace>,
        nodes: &[&ParsedReadValueId],
        max_age: f64,
        timestamps_to_return: TimestampsToReturn,
    ) -> Vec<DataValue> {
        let address_space = address_space.read();
        nodes.iter().map(|node| self.read_value(context, &address_space, node, max_age, timestamps_to_return)).collect()
    }

    #[expect(clippy::mut_mut, reason = "the signature is the crate's")]
    async fn create_value_monitored_items(
        &self,
        context: &RequestContext,
        address_space: &RwLock<AddressSpace>,
        items: &mut [&mut &mut CreateMonitoredItem],
    ) {
        let address_space = address_space.read();
        for item in items {
            let node = item.item_to_monitor();
            let value = self.read_value(context, &address_space, node, 0.0, TimestampsToReturn::Both);
            if let Some(local) = self.local_of(&node.node_id) {
                let mut tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
                tags.set_subscription(local, item.handle().subscription_id);
            } else if let Some(status) = value.status.filter(StatusCode::is_bad) {
                item.set_status(status);
                continue;
            }
            item.set_initial_value(value);
            item.set_status(StatusCode::Good);
            self.monitored_items.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn delete_monitored_items(&self, _context: &RequestContext, items: &[&MonitoredItemRef]) {
        let count = i64::try_from(items.len()).expect("a call has a limit");
        self.monitored_items.fetch_sub(count, Ordering::Relaxed);
    }
}
