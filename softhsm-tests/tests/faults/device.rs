//! The device is lost, slow, full or torn.

use std::time::{Duration, Instant};

use chancery_hsm::{Hsm, HsmError, HsmPhase, KeyAlgorithm, KeyPurpose, KeySpec, Pkcs11Config, TokenChoice};

use crate::{Bench, Outcome, Scenario, ensure, ensure_equal, make, said, sign, signing_key};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("lost device is re-initialised and the command tried once more", |b| Box::pin(lost_device(b))),
    ("repeated GENERAL_ERROR is a lost device", |b| Box::pin(repeated_general_error(b))),
    ("device that stays away is told at once, and found when it is back", |b| Box::pin(long_absence(b))),
    ("handles of the time before re-initialisation are not used", |b| Box::pin(stale_handles(b))),
    ("generation is not repeated on a lost device", |b| Box::pin(no_second_generation(b))),
    ("GENERAL_ERROR in generation on a healthy token is a refusal", |b| Box::pin(refused_generation(b))),
    ("lost device is noticed without work", |b| Box::pin(keep_alive(b))),
    ("token out of sessions shrinks the pool and sheds nothing else", |b| Box::pin(out_of_sessions(b))),
    ("token out of memory is busy", |b| Box::pin(out_of_memory(b))),
    ("full queue refuses at once and slow calls time out", |b| Box::pin(overload(b))),
    ("concurrent work survives a lost device", |b| Box::pin(loss_under_load(b))),
    ("two connections share a module, and both come back", |b| Box::pin(shared_module(b))),
    ("shutdown finishes what is queued and refuses the rest", |b| Box::pin(shutdown(b))),
    ("torn token is refused at start", |b| Box::pin(torn_token(b))),
    ("module, token and slot that do not exist are named", |b| Box::pin(wrong_places(b))),
];

const DEVICE_CODES: [(&str, u64); 5] = [
    ("DEVICE_ERROR", 0x30),
    ("DEVICE_REMOVED", 0x32),
    ("TOKEN_NOT_PRESENT", 0xE0),
    ("CRYPTOKI_NOT_INITIALIZED", 0x190),
    ("FUNCTION_FAILED", 0x06),
];

async fn lost_device(bench: &Bench) -> Outcome {
    let hsm = bench.open().await?;
    let key = signing_key(&hsm).await?;
    for (number, (name, code)) in (1..).zip(DEVICE_CODES) {
        let rebuilds = bench.rebuilds();
        bench.shim.fail("C_Sign", code, 1);
        sign(&hsm, &key).await.map_err(said(name))?;
        ensure_equal(bench.rebuilds(), rebuilds + 1, name)?;
        ensure_equal(hsm.status().reconnects, number, "reconnects")?;
    }
    hsm.shutdown().await;
    Ok(())
}

async fn repeated_general_error(bench: &Bench) -> Outcome {
    let hsm = bench.open().await?;
    let key = signing_key(&hsm).await?;
    let rebuilds = bench.rebuilds();
    bench.shim.fail("C_SignInit", 0x05, 2);
    sign(&hsm, &key).await.map_err(said("sign"))?;
    ensure_equal(bench.rebuilds(), rebuilds + 1, "rebuilds")?;
    hsm.shutdown().await;
    Ok(())
}

async fn long_absence(bench: &Bench) -> Outcome {
    let hsm = bench.open().await?;
    let key = signing_key(&hsm).await?;
    bench.shim.fail("C_SignInit", 0x30, 1);
    bench.shim.fail("C_Initialize", 0x30, 3);
    let Err(error) = sign(&hsm, &key).await else { return Err("it signed without a device".into()) };
    ensure(
        error.is_unavailable() && error.to_string().contains("C_SignInit answered CKR_DEVICE_ERROR"),
        "the call is named",
    )?;
    ensure(matches!(hsm.status().phase, HsmPhase::Reconnecting(_)), "the status says so")?;
    let asked = Instant::now();
    ensure(sign(&hsm, &key).await.is_err_and(|error| error.is_unavailable()), "work is refused meanwhile")?;
    ensure(asked.elapsed() < Duration::from_millis(50), "and refused at once")?;
    wait_ready(&hsm).await?;
    sign(&hsm, &key).await.map_err(said("when it is back"))?;
    hsm.shutdown().await;
    Ok(())
}

async fn stale_handles(bench: &Bench) -> Outcome {
    let hsm = bench.open().await?;
    let keys = [signing_key(&hsm).await?, signing_key(&hsm).await?, signing_key(&hsm).await?];
    for _ in 0..4 {
        bench.shim.fail("C_SignInit", 0x190, 1);
        // After re-initialisation SoftHSM numbers objects in the order they are found: backwards, each number that one
        // key had belongs to another. `sign` checks each signature under its own key.
        for key in keys.iter().rev() {
            let searches = bench.shim.count("C_FindObjectsInit");
            sign(&hsm, key).await.map_err(said("sign"))?;
            ensure(bench.shim.count("C_FindObjectsInit") > searches, "the object is looked up in the new epoch")?;
        }
        for key in &keys {
            sign(&hsm, key).await.map_err(said("sign again"))?;
        }
    }
    hsm.shutdown().await;
    Ok(())
}

async fn no_second_generation(bench: &Bench) -> Outcome {
    let hsm = bench.open().await?;
    let made = bench.shim.count("C_GenerateKeyPair");
    bench.shim.fail("C_GenerateKeyPair", 0x30, 1);
    let answer = hsm.generate(KeySpec::new(KeyAlgorithm::EcP256, KeyPurpose::Sign, "faults")).await;
    ensure(answer.is_err_and(|error| error.is_unavailable()), "it is reported")?;
    ensure_equal(bench.shim.count("C_GenerateKeyPair"), made + 1, "attempts")?;
    wait_ready(&hsm).await?;
    signing_key(&hsm).await?;
    hsm.shutdown().await;
    Ok(())
}

async fn refused_generation(bench: &Bench) -> Outcome {
    let hsm = bench.open().await?;
    let rebuilds = bench.rebuilds();
    bench.shim.fail("C_GenerateKeyPair", 0x05, 1);
    let answer = hsm.generate(KeySpec::new(KeyAlgorithm::EcP256, KeyPurpose::Sign, "faults")).await;
    ensure(matches!(answer, Err(HsmError::Refused { .. })), "it is a refusal")?;
    ensure_equal(bench.rebuilds(), rebuilds, "rebuilds")?;
    hsm.shutdown().await;
    Ok(())
}

async fn keep_alive(bench: &Bench) -> Outcome {
    let mut config = bench.config();
    config.keep_alive = Duration::from_millis(50);
    let hsm = Hsm::open(config).await.map_err(said("open"))?;
    let rebuilds = bench.rebuilds();
    bench.shim.fail("C_GetSessionInfo", 0x32, 1);
    let until = Instant::now() + Duration::from_secs(5);
    while bench.rebuilds() == rebuilds && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ensure(bench.rebuilds() > rebuilds, "the connection is rebuilt")?;
    wait_ready(&hsm).await?;
    hsm.shutdown().await;
    Ok(())
}

async fn out_of_sessions(bench: &Bench) -> Outcome {
    let mut config = bench.config();
    (config.sessions, config.capacity_rest) = (4, Duration::from_millis(300));
    let hsm = Hsm::open(config).await.map_err(said("open"))?;
    let key = signing_key(&hsm).await?;
    let rebuilds = bench.rebuilds();
    bench.shim.fail("C_OpenSession", 0xB1, 3);
    let mut tasks = Vec::new();
    for _ in 0..64 {
        let (hsm, key) = (hsm.clone(), key.clone());
        tasks.push(tokio::spawn(async move { sign(&hsm, &key).await }));
    }
    for task in tasks {
        task.await.map_err(|error| error.to_string())?.map_err(said("sign"))?;
    }
    ensure_equal(bench.rebuilds(), rebuilds, "rebuilds")?;
    hsm.shutdown().await;
    Ok(())
}

async fn out_of_memory(bench: &Bench) -> Outcome {
    let mut config = bench.config();
    config.capacity_rest = Duration::from_millis(50);
    let hsm = Hsm::open(config).await.map_err(said("open"))?;
    let key = signing_key(&hsm).await?;
    let rebuilds = bench.rebuilds();
    for (name, code) in [("DEVICE_MEMORY", 0x31), ("HOST_MEMORY", 0x02)] {
        bench.shim.fail("C_SignInit", code, 1);
        ensure(sign(&hsm, &key).await.is_err_and(|error| error.is_busy()), name)?;
        sign(&hsm, &key).await.map_err(said(name))?;
    }
    ensure_equal(bench.rebuilds(), rebuilds, "rebuilds")?;
    hsm.shutdown().await;
    Ok(())
}

async fn overload(bench: &Bench) -> Outcome {
    let mut config = bench.config();
    (config.sessions, config.queue, config.deadline) = (1, 2, Duration::from_millis(400));
    let hsm = Hsm::open(config).await.map_err(said("open"))?;
    let key = signing_key(&hsm).await?;
    bench.shim.order("delay 100000");
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let (hsm, key) = (hsm.clone(), key.clone());
        tasks.push(tokio::spawn(async move {
            let asked = Instant::now();
            (sign(&hsm, &key).await, asked.elapsed())
        }));
    }
    let (mut refused, mut late) = (0, 0);
    for task in tasks {
        let (answer, took) = task.await.map_err(|error| error.to_string())?;
        ensure(took < Duration::from_millis(600), "nobody waits longer than the deadline")?;
        match answer {
            Err(HsmError::Busy { .. }) => refused += 1,
            Err(HsmError::TimedOut { .. }) => late += 1,
            _ => {}
        }
    }
    bench.shim.order("delay 0");
    ensure(refused >= 5, "what does not fit into the queue is refused")?;
    ensure(late >= 1, "what waits too long times out")?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    sign(&hsm, &key).await.map_err(said("when it is fast again"))?;
    hsm.shutdown().await;
    Ok(())
}

async fn loss_under_load(bench: &Bench) -> Outcome {
    let mut config = bench.config();
    config.sessions = 4;
    let hsm = Hsm::open(config).await.map_err(said("open"))?;
    let key = signing_key(&hsm).await?;
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let (hsm, key) = (hsm.clone(), key.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..200 {
                sign(&hsm, &key).await?;
            }
            Ok::<(), HsmError>(())
        }));
    }
    // One loss at a time: a command that meets two may give up.
    for _ in 0..3 {
        let rebuilds = bench.rebuilds();
        bench.shim.fail("C_Sign", 0x30, 1);
        while bench.rebuilds() == rebuilds && tasks.iter().any(|task| !task.is_finished()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        wait_ready(&hsm).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for task in tasks {
        task.await.map_err(|error| error.to_string())?.map_err(said("sign"))?;
    }
    ensure(hsm.status().reconnects >= 1, "the device was lost meanwhile")?;
    hsm.shutdown().await;
    Ok(())
}

async fn shared_module(bench: &Bench) -> Outcome {
    let (one, two) = (bench.open().await?, bench.open().await?);
    let keys = (signing_key(&one).await?, signing_key(&two).await?);
    for _ in 0..3 {
        // The first re-initialises the module under the second's feet.
        bench.shim.fail("C_Sign", 0x190, 1);
        sign(&one, &keys.0).await.map_err(said("the first"))?;
        sign(&two, &keys.1).await.map_err(said("the second"))?;
        sign(&two, &keys.0).await.map_err(said("the second with the first's key"))?;
    }
    one.shutdown().await;
    sign(&two, &keys.1).await.map_err(said("the second alone"))?;
    two.shutdown().await;
    Ok(())
}

async fn shutdown(bench: &Bench) -> Outcome {
    let mut config = bench.config();
    config.sessions = 1;
    let hsm = Hsm::open(config).await.map_err(said("open"))?;
    let key = signing_key(&hsm).await?;
    bench.shim.order("delay 20000");
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let (hsm, key) = (hsm.clone(), key.clone());
        tasks.push(tokio::spawn(async move { sign(&hsm, &key).await }));
    }
    while hsm.status().queue_depth < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    hsm.shutdown().await;
    bench.shim.order("delay 0");
    for task in tasks {
        task.await.map_err(|error| error.to_string())?.map_err(said("queued before"))?;
    }
    ensure(matches!(sign(&hsm, &key).await, Err(HsmError::Closed)), "what comes later is refused")?;
    ensure_equal(hsm.status().sessions as u64, 0, "sessions left open")
}

async fn torn_token(bench: &Bench) -> Outcome {
    bench.open().await?.shutdown().await;
    bench.shim.fail("C_FindObjectsInit", 0x05, 1);
    let Err(error) = Hsm::open(bench.config()).await else { return Err("it was accepted".into()) };
    ensure(error.to_string().contains("C_FindObjectsInit"), "the failing call is named")?;
    Ok(())
}

async fn wrong_places(bench: &Bench) -> Outcome {
    let pin = bench.config().pin;
    let open = |module: &str, token| Hsm::open(Pkcs11Config::new(module, token, pin.clone()));
    let shim = bench.token.module.display().to_string();
    let label = |label: &str| TokenChoice::Label(label.into());
    let answers = [
        (open("/nowhere/module.so", label("x")).await, "/nowhere/module.so"),
        (open("/usr/lib/x86_64-linux-gnu/libz.so.1", label("x")).await, "C_GetFunctionList"),
        (open(&shim, label("no such token")).await, "no such token"),
        (open(&shim, TokenChoice::Slot(99)).await, "slot 99"),
    ];
    for (answer, named) in answers {
        let Err(error) = answer else { return Err(format!("{named}: it opened")) };
        ensure(error.to_string().contains(named), &format!("{error} names {named}"))?;
    }
    let hsm = bench.open().await?;
    let serial = hsm.token().serial;
    hsm.shutdown().await;
    let hsm = open(&shim, TokenChoice::Serial(serial)).await.map_err(said("open by serial number"))?;
    make(&hsm, KeyAlgorithm::EcP256, KeyPurpose::Sign).await?;
    hsm.shutdown().await;
    Ok(())
}

pub(crate) async fn wait_ready(hsm: &Hsm) -> Outcome {
    let until = Instant::now() + Duration::from_secs(10);
    while !hsm.status().is_ready() {
        ensure(Instant::now() < until, "the token is back within ten seconds")?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
