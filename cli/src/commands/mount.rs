//! What `secrets` and `auth` share: mounts are mounts.

use crate::{
    failure::Result,
    output::Output,
    parameters,
    remote::{Ask, Remote, Verb},
};
use clap::Args;
use serde_json::{Map, Value, json};

/// Settings of a mount that can be given when it is made and changed later.
#[derive(Debug, Args)]
pub(super) struct TuneFlags {
    /// For people
    #[arg(long)]
    description: Option<String>,
    /// Lifetime of leases that do not ask for one
    #[arg(long, value_name = "DURATION")]
    default_lease_ttl: Option<String>,
    /// Longest lifetime of a lease
    #[arg(long, value_name = "DURATION")]
    max_lease_ttl: Option<String>,
    /// unauth shows the mount to callers who are not logged in
    #[arg(long, value_name = "WORD")]
    listing_visibility: Option<String>,
    /// Request member to show in clear in the audit log; may be repeated
    #[arg(long, value_name = "NAME")]
    audit_non_hmac_request_keys: Vec<String>,
    /// Response member to show in clear in the audit log; may be repeated
    #[arg(long, value_name = "NAME")]
    audit_non_hmac_response_keys: Vec<String>,
    /// Request header handed to the mount; may be repeated
    #[arg(long, value_name = "NAME")]
    passthrough_request_headers: Vec<String>,
    /// Response header the mount may set; may be repeated
    #[arg(long, value_name = "NAME")]
    allowed_response_headers: Vec<String>,
    /// Option of the engine, key=value; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    options: Vec<String>,
    /// Version of the engine, such as 2 for kv
    #[arg(long, value_name = "NUMBER")]
    version: Option<u32>,
    /// service, batch, default-service or default-batch
    #[arg(long, value_name = "WORD")]
    token_type: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct EnableFlags {
    /// Kind of engine, such as transit, pki, kv, approle, userpass
    kind: String,
    /// Where to mount it, if not at the kind's name
    #[arg(long)]
    path: Option<String>,
    #[command(flatten)]
    tune: TuneFlags,
    /// Never replicated
    #[arg(long)]
    local: bool,
    /// Accepted for compatibility: everything is sealed here
    #[arg(long)]
    seal_wrap: bool,
    /// Accepted for compatibility
    #[arg(long)]
    force_no_cache: bool,
    /// Accepted for compatibility
    #[arg(long, value_name = "NAME")]
    plugin_name: Option<String>,
}

impl EnableFlags {
    pub(super) fn kind(&self) -> &str {
        &self.kind
    }
}

impl TuneFlags {
    fn config(&self) -> Map<String, Value> {
        let mut config = Map::new();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                config.insert(name.to_owned(), value);
            }
        };
        let list = |items: &[String]| (!items.is_empty()).then(|| json!(items));
        set("default_lease_ttl", self.default_lease_ttl.as_ref().map(|ttl| json!(ttl)));
        set("max_lease_ttl", self.max_lease_ttl.as_ref().map(|ttl| json!(ttl)));
        set("listing_visibility", self.listing_visibility.as_ref().map(|word| json!(word)));
        set("token_type", self.token_type.as_ref().map(|word| json!(word)));
        set("audit_non_hmac_request_keys", list(&self.audit_non_hmac_request_keys));
        set("audit_non_hmac_response_keys", list(&self.audit_non_hmac_response_keys));
        set("passthrough_request_headers", list(&self.passthrough_request_headers));
        set("allowed_response_headers", list(&self.allowed_response_headers));
        config
    }

    fn options(&self) -> Result<Option<Value>> {
        let mut options = parameters::pairs(&self.options)?;
        if let Some(version) = self.version {
            options.insert("version".to_owned(), json!(version.to_string()));
        }
        Ok((!options.is_empty()).then_some(Value::Object(options)))
    }
}

/// Mounts an engine; `root` is `sys/mounts` or `sys/auth`. Gives the path.
pub(super) fn enable(remote: &Remote, root: &str, flags: &EnableFlags) -> Result<String> {
    let path = flags.path.as_deref().unwrap_or(&flags.kind).trim_matches('/').to_owned();
    let mut config = flags.tune.config();
    if flags.force_no_cache {
        config.insert("force_no_cache".to_owned(), json!(true));
    }
    let target = format!("{root}/{path}");
    remote.send(&Ask::new(Verb::Post, &target).members([
        ("type", Some(json!(flags.kind))),
        ("description", flags.tune.description.as_ref().map(|text| json!(text))),
        ("config", (!config.is_empty()).then(|| Value::Object(config.clone()))),
        ("options", flags.tune.options()?),
        ("local", flags.local.then_some(json!(true))),
        ("seal_wrap", flags.seal_wrap.then_some(json!(true))),
        ("plugin_name", flags.plugin_name.as_ref().map(|name| json!(name))),
    ]))?;
    Ok(path)
}

/// Changes a mount; `root` is `sys/mounts` or `sys/auth`.
pub(super) fn tune(remote: &Remote, root: &str, path: &str, flags: &TuneFlags) -> Result<()> {
    let mut body = flags.config();
    if let Some(description) = &flags.description {
        body.insert("description".to_owned(), json!(description));
    }
    if let Some(options) = flags.options()? {
        body.insert("options".to_owned(), options);
    }
    remote.send(&Ask::new(Verb::Post, &format!("{root}/{}/tune", path.trim_matches('/'))).body(body))?;
    Ok(())
}

/// Lists mounts.
pub(super) fn list(remote: &Remote, root: &str, detailed: bool, output: &Output) -> Result<()> {
    let mounts = Value::Object(remote.read(root)?.content());
    let text = |mount: &Value, pointer: &str| match mount.pointer(pointer) {
        None | Some(Value::Null) => "n/a".to_owned(),
        Some(value) => crate::output::table::cell(value),
    };
    let columns: &[(&str, &str)] = if detailed {
        &[
            ("Type", "/type"),
            ("Accessor", "/accessor"),
            ("Default TTL", "/config/default_lease_ttl"),
            ("Max TTL", "/config/max_lease_ttl"),
            ("Options", "/options"),
            ("Local", "/local"),
            ("UUID", "/uuid"),
            ("Description", "/description"),
        ]
    } else {
        &[("Type", "/type"), ("Accessor", "/accessor"), ("Description", "/description")]
    };
    let headings: Vec<&str> = std::iter::once("Path").chain(columns.iter().map(|(heading, _)| *heading)).collect();
    let rows: Vec<Vec<String>> = mounts
        .as_object()
        .into_iter()
        .flatten()
        .map(|(path, mount)| {
            std::iter::once(path.clone()).chain(columns.iter().map(|(_, pointer)| text(mount, pointer))).collect()
        })
        .collect();
    output.rows(&headings, &rows, &mounts)
}
