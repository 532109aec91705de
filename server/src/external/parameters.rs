//! What a registration says: the parameters of a token and of a key in it, as the PKCS#11 provider of OpenBao names
//! them, with those of Vault Enterprise's managed keys beside them.

use chancery_hsm::{KeyAlgorithm, KeyId, KeyPurpose, KeySearch, KeySpec, Mechanism, RsaPadding, TokenChoice};
use data_encoding::HEXLOWER_PERMISSIVE;
use serde_json::{Map, Value};

/// Parameters as they were given and are shown again; a PIN is never among them.
pub(crate) type Values = Map<String, Value>;

/// The alias of the appliance's own token.
pub(crate) const OWN_LIBRARY: &str = "hsm";

/// The one kind of provider there is.
pub(crate) const PLUGIN: &str = "pkcs11";

const TOKEN_MEMBERS: [&str; 7] =
    ["lib", "slot", "serial", "token_label", "disable_software_encryption", "force_rw_session", "max_parallel"];
const KEY_MEMBERS: [&str; 10] = [
    "id",
    "label",
    "mechanism",
    "rsa_oaep_hash",
    "allow_generate_key",
    "allow_replace_key",
    "allow_store_key",
    "any_mount",
    "key_bits",
    "curve",
];

/// Which token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TokenPlace {
    /// The appliance's own.
    Own,
    /// Behind a library that the server's configuration names.
    Library {
        /// The alias.
        alias: String,
        /// The token in it.
        token: TokenChoice,
        /// `max_parallel`
        sessions: Option<usize>,
    },
}

/// Which key, and how it is to be used.
#[derive(Debug)]
pub(super) struct KeyParameters {
    pub(super) search: KeySearch,
    pub(super) mechanism: Option<Mechanism>,
    pub(super) padding: RsaPadding,
    pub(super) generate: bool,
    pub(super) replace: bool,
    pub(super) any_mount: bool,
}

impl TokenPlace {
    pub(super) fn parse(values: &Values, has_pin: bool) -> Result<Self, String> {
        check_members(values, &TOKEN_MEMBERS)?;
        if flag(values, "disable_software_encryption")? {
            return Err(
                "'disable_software_encryption' is not supported: public keys are used in this process".to_owned()
            );
        }
        flag(values, "force_rw_session")?;
        let alias = text(values, "lib")?.ok_or("missing required parameter 'lib'")?;
        let choices: Vec<TokenChoice> = [
            text(values, "slot")?.map(|slot| parse_slot(&slot)).transpose()?,
            text(values, "serial")?.map(TokenChoice::Serial),
            text(values, "token_label")?.map(TokenChoice::Label),
        ]
        .into_iter()
        .flatten()
        .collect();
        if alias == OWN_LIBRARY {
            return if choices.is_empty() && !has_pin {
                Ok(Self::Own)
            } else {
                Err(format!(
                    "'lib' {OWN_LIBRARY:?} is the appliance's own token: it takes no slot, label, serial or pin"
                ))
            };
        }
        let Ok([token]) = <[TokenChoice; 1]>::try_from(choices) else {
            return Err("exactly one of 'slot', 'serial' and 'token_label' must be given".to_owned());
        };
        if !has_pin {
            return Err("missing required parameter 'pin'".to_owned());
        }
        let sessions = number(values, "max_parallel")?.map(|count| usize::try_from(count.max(1)).unwrap_or(usize::MAX));
        Ok(Self::Library { alias, token, sessions })
    }
}

impl KeyParameters {
    pub(super) fn parse(values: &Values) -> Result<Self, String> {
        check_members(values, &KEY_MEMBERS)?;
        let id = text(values, "id")?.map(|id| parse_id(&id)).transpose()?;
        let label = text(values, "label")?;
        if id.is_none() && label.is_none() {
            return Err("missing required parameter: one of 'id' and 'label' must be given".to_owned());
        }
        let mechanism = text(values, "mechanism")?.map(|name| parse_mechanism(&name)).transpose()?;
        let padding = match (text(values, "rsa_oaep_hash")?.as_deref(), mechanism) {
            (None, Some(Mechanism::RsaPkcs)) => RsaPadding::Pkcs1v15,
            (None | Some("sha256" | "sha2-256"), _) => RsaPadding::OaepSha256,
            (Some("sha1"), _) => RsaPadding::OaepSha1,
            (Some(other), _) => return Err(format!("'rsa_oaep_hash' {other:?} is not supported: sha1 and sha256 are")),
        };
        let parameters = Self {
            search: KeySearch { id, label },
            mechanism,
            padding,
            generate: flag(values, "allow_generate_key")?,
            replace: flag(values, "allow_replace_key")?,
            any_mount: flag(values, "any_mount")?,
        };
        flag(values, "allow_store_key")?;
        if parameters.generate {
            parameters.order(values)?;
        }
        Ok(parameters)
    }

    /// The key that would be made.
    pub(super) fn order(&self, values: &Values) -> Result<KeySpec, String> {
        let mechanism = self.mechanism.ok_or("generating a key needs a 'mechanism'")?;
        let algorithm = algorithm_to_make(mechanism, number(values, "key_bits")?, text(values, "curve")?.as_deref())?;
        let purpose = match mechanism {
            Mechanism::RsaPkcs | Mechanism::RsaOaep | Mechanism::RsaPss => KeyPurpose::SignAndDecrypt,
            Mechanism::Ecdsa | Mechanism::Eddsa => KeyPurpose::Sign,
            Mechanism::AesGcm => KeyPurpose::Encrypt,
            Mechanism::HmacSha256 => KeyPurpose::Mac,
        };
        Ok(KeySpec::named(algorithm, purpose, self.search.clone()))
    }
}

fn algorithm_to_make(mechanism: Mechanism, bits: Option<i64>, curve: Option<&str>) -> Result<KeyAlgorithm, String> {
    let bits = bits.filter(|bits| *bits != 0);
    let of_curve = |curve: &str| match curve.to_ascii_uppercase().replace('-', "").as_str() {
        "P256" => Some(KeyAlgorithm::EcP256),
        "P384" => Some(KeyAlgorithm::EcP384),
        "P521" => Some(KeyAlgorithm::EcP521),
        _ => None,
    };
    match mechanism {
        Mechanism::RsaPkcs | Mechanism::RsaOaep | Mechanism::RsaPss => match bits.unwrap_or(2048) {
            2048 => Ok(KeyAlgorithm::Rsa2048),
            3072 => Ok(KeyAlgorithm::Rsa3072),
            4096 => Ok(KeyAlgorithm::Rsa4096),
            _ => Err("'key_bits' of an RSA key is 2048, 3072 or 4096".to_owned()),
        },
        Mechanism::Ecdsa => of_curve(curve.unwrap_or("P256")).ok_or_else(|| "'curve' is P256, P384 or P521".to_owned()),
        Mechanism::Eddsa => Ok(KeyAlgorithm::Ed25519),
        Mechanism::AesGcm => match bits.unwrap_or(256) {
            128 => Ok(KeyAlgorithm::Aes128),
            256 => Ok(KeyAlgorithm::Aes256),
            _ => Err("'key_bits' of an AES key is 128 or 256".to_owned()),
        },
        Mechanism::HmacSha256 => Ok(KeyAlgorithm::Hmac),
    }
}

/// Refuses what the provider does not know, in OpenBao's words.
fn check_members(values: &Values, known: &[&str]) -> Result<(), String> {
    let mut unknown: Vec<&str> = values.keys().map(String::as_str).filter(|name| !known.contains(name)).collect();
    unknown.sort_unstable();
    if unknown.is_empty() {
        return Ok(());
    }
    let unknown = unknown.join(", ");
    Err(format!("decoding failed due to the following error(s):\n\n'config' has invalid keys: {unknown}"))
}

fn parse_slot(text: &str) -> Result<TokenChoice, String> {
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map(TokenChoice::Slot).map_err(|_| "'slot' is not a slot number".to_owned())
}

fn parse_id(text: &str) -> Result<KeyId, String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes());
    bytes.map(KeyId::new).map_err(|_| "'id' is not hexadecimal".to_owned())
}

fn parse_mechanism(text: &str) -> Result<Mechanism, String> {
    Mechanism::parse(text).ok_or_else(|| format!("unsupported mechanism {text:?}"))
}

/// A text; an empty one counts as none.
pub(crate) fn text(values: &Values, name: &str) -> Result<Option<String>, String> {
    let text = match values.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(_) => {
            return Err(format!("decoding failed due to the following error(s):\n\n'config.{name}' expected a text"));
        }
    };
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// A boolean; absent is false.
pub(crate) fn flag(values: &Values, name: &str) -> Result<bool, String> {
    match text(values, name)?.as_deref() {
        None | Some("0" | "f" | "F" | "false" | "False" | "FALSE") => Ok(false),
        Some("1" | "t" | "T" | "true" | "True" | "TRUE") => Ok(true),
        Some(_) => Err(format!(
            "decoding failed due to the following error(s):\n\n'config.{name}' cannot parse value as 'bool': strconv.ParseBool: invalid syntax"
        )),
    }
}

fn number(values: &Values, name: &str) -> Result<Option<i64>, String> {
    let Some(text) = text(values, name)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        format!("decoding failed due to the following error(s):\n\n'config.{name}' cannot parse value as 'int': strconv.ParseInt: invalid syntax")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn values(value: Value) -> Values {
        let Value::Object(values) = value else { panic!("an object") };
        values
    }

    #[test]
    fn a_token_is_named_in_exactly_one_way() {
        let parse = |value, pin| TokenPlace::parse(&values(value), pin);
        let slot = parse(json!({"lib": "l", "slot": "0x10"}), true).unwrap();
        let expected = TokenPlace::Library { alias: "l".into(), token: TokenChoice::Slot(16), sessions: None };
        assert_eq!(slot, expected);
        assert_eq!(parse(json!({"lib": "hsm"}), false).unwrap(), TokenPlace::Own);
        for (value, pin) in [
            (json!({"lib": "l"}), true),
            (json!({"lib": "l", "slot": 1, "serial": "x"}), true),
            (json!({"lib": "l", "slot": 1}), false),
            (json!({"lib": "l", "slot": -1}), true),
            (json!({"lib": "hsm", "slot": 1}), false),
            (json!({"lib": "hsm"}), true),
            (json!({"slot": 1}), true),
            (json!({"lib": "l", "slot": 1, "disable_software_encryption": true}), true),
            (json!({"lib": ["l"], "slot": 1}), true),
        ] {
            assert!(parse(value.clone(), pin).is_err(), "{value}");
        }
        let unknown = parse(json!({"lib": "l", "slot": 1, "b": 1, "a": 2}), true).unwrap_err();
        assert!(unknown.ends_with("'config' has invalid keys: a, b"), "{unknown}");
    }

    #[test]
    fn a_key_is_named_by_id_or_label_and_its_mechanism_decides_the_padding() {
        let parse = |value| KeyParameters::parse(&values(value));
        let key = parse(json!({"id": "0x0A0b", "mechanism": "0x1"})).unwrap();
        assert_eq!(key.search.id.unwrap().as_bytes(), [10, 11]);
        assert_eq!((key.mechanism, key.padding), (Some(Mechanism::RsaPkcs), RsaPadding::Pkcs1v15));
        assert_eq!(parse(json!({"label": "x", "rsa_oaep_hash": "sha1"})).unwrap().padding, RsaPadding::OaepSha1);
        for value in [
            json!({}),
            json!({"label": ""}),
            json!({"id": "xyz"}),
            json!({"label": "x", "mechanism": "CKM_DES3_CBC"}),
            json!({"label": "x", "rsa_oaep_hash": "md5"}),
            json!({"label": "x", "allow_generate_key": true}),
            json!({"label": "x", "allow_generate_key": true, "mechanism": "CKM_RSA_PKCS_PSS", "key_bits": 1024}),
            json!({"label": "x", "allow_generate_key": "yes", "mechanism": "CKM_ECDSA"}),
        ] {
            assert!(parse(value.clone()).is_err(), "{value}");
        }
        let values =
            values(json!({"label": "x", "allow_generate_key": "true", "mechanism": "CKM_ECDSA", "curve": "P384"}));
        let spec = KeyParameters::parse(&values).unwrap().order(&values).unwrap();
        assert_eq!((spec.algorithm, spec.purpose), (KeyAlgorithm::EcP384, KeyPurpose::Sign));
    }
}
