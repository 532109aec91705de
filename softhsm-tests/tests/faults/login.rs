//! Refused logins: one attempt, then never again.

use chancery_hsm::{Hsm, HsmError, HsmPhase, Pin};

use crate::{Bench, Outcome, Scenario, ensure, ensure_equal, said, sign, signing_key};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("wrong PIN is tried once", |b| Box::pin(wrong_pin(b))),
    ("locked and expired PINs latch", |b| Box::pin(locked_pin(b))),
    ("worn PIN is not tried at all", |b| Box::pin(worn_pin(b))),
    ("PIN refused while running latches for everybody", |b| Box::pin(refused_while_running(b))),
    ("PIN refused while reconnecting latches", |b| Box::pin(refused_while_reconnecting(b))),
];

async fn wrong_pin(bench: &Bench) -> Outcome {
    bench.open().await?.shutdown().await;
    let logins = bench.shim.count("C_Login");
    let mut config = bench.config();
    config.pin = Pin::new("0000000").map_err(said("pin"))?;
    match Hsm::open(config).await {
        Err(HsmError::Latched { reason }) => {
            ensure(
                reason.contains("CKR_PIN_INCORRECT") && !reason.contains("0000000"),
                "the code is told, the PIN is not",
            )?;
        }
        other => return Err(format!("{other:?}")),
    }
    ensure_equal(bench.shim.count("C_Login"), logins + 1, "logins")
}

async fn locked_pin(bench: &Bench) -> Outcome {
    bench.open().await?.shutdown().await;
    for (name, code) in [("CKR_PIN_LOCKED", 0xA4), ("CKR_PIN_EXPIRED", 0xA3)] {
        let logins = bench.shim.count("C_Login");
        bench.shim.fail("C_Login", code, 1);
        match Hsm::open(bench.config()).await {
            Err(HsmError::Latched { reason }) => ensure(reason.contains(name), name)?,
            other => return Err(format!("{name}: {other:?}")),
        }
        ensure_equal(bench.shim.count("C_Login"), logins + 1, "logins")?;
    }
    Ok(())
}

async fn worn_pin(bench: &Bench) -> Outcome {
    bench.open().await?.shutdown().await;
    let logins = bench.shim.count("C_Login");
    for (name, flag) in [("CKF_USER_PIN_FINAL_TRY", "0x20000"), ("CKF_USER_PIN_LOCKED", "0x40000")] {
        bench.shim.order(&format!("flags {flag}"));
        let answer = Hsm::open(bench.config()).await;
        ensure(matches!(answer, Err(HsmError::Latched { .. })), name)?;
    }
    ensure_equal(bench.shim.count("C_Login"), logins, "logins")
}

async fn refused_while_running(bench: &Bench) -> Outcome {
    let mut config = bench.config();
    config.sessions = 4;
    let hsm = Hsm::open(config).await.map_err(said("open"))?;
    let key = signing_key(&hsm).await?;
    let logins = bench.shim.count("C_Login");
    bench.shim.fail("C_SignInit", 0x101, 1000);
    bench.shim.fail("C_Login", 0xA0, 1000);
    let mut tasks = Vec::new();
    for _ in 0..16 {
        let (hsm, key) = (hsm.clone(), key.clone());
        tasks.push(tokio::spawn(async move { sign(&hsm, &key).await }));
    }
    for task in tasks {
        let answer = task.await.map_err(|error| error.to_string())?;
        ensure(matches!(answer, Err(HsmError::Latched { .. })), "everybody is told that it is latched")?;
    }
    ensure_equal(bench.shim.count("C_Login"), logins + 1, "logins")?;
    ensure(matches!(hsm.status().phase, HsmPhase::Latched(_)), "the status says so")?;
    bench.shim.order("reset");
    ensure(matches!(sign(&hsm, &key).await, Err(HsmError::Latched { .. })), "it stays so")?;
    ensure_equal(bench.shim.count("C_Login"), logins + 1, "logins afterwards")?;
    hsm.shutdown().await;
    Ok(())
}

async fn refused_while_reconnecting(bench: &Bench) -> Outcome {
    let hsm = bench.open().await?;
    let key = signing_key(&hsm).await?;
    let logins = bench.shim.count("C_Login");
    bench.shim.fail("C_SignInit", 0x30, 1);
    bench.shim.fail("C_Login", 0xA0, 1000);
    ensure(matches!(sign(&hsm, &key).await, Err(HsmError::Latched { .. })), "it latches")?;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    ensure_equal(bench.shim.count("C_Login"), logins + 1, "logins")?;
    hsm.shutdown().await;
    Ok(())
}
