//! Replays every seed and past failure of `corpus/` through its target.

use std::{fs, path::Path};

#[test]
fn every_target_has_seeds_and_survives_them() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut replayed = 0;
    for (name, target) in chancery_fuzz::TARGETS {
        let mut files: Vec<_> = fs::read_dir(corpus.join(name))
            .unwrap_or_else(|error| panic!("corpus/{name}: {error}"))
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "corpus/{name} has no seed");
        for file in files {
            println!("{name}: {}", file.display());
            target(&fs::read(&file).unwrap());
            replayed += 1;
        }
    }
    println!("{replayed} inputs replayed");
}

#[test]
fn every_folder_of_the_corpus_belongs_to_a_target() {
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(chancery_fuzz::TARGETS.iter().any(|(target, _)| *target == name), "{name} has no target");
    }
}

/// A short walk around the seeds, the same each time: each loses a byte, gains one, or has one changed.
#[test]
fn neighbours_of_the_seeds_do_no_harm() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    for (name, target) in chancery_fuzz::TARGETS {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name)).unwrap() {
            let seed = fs::read(entry.unwrap().path()).unwrap();
            for _ in 0..50 {
                let mut data = seed.clone();
                let (at, byte) = (random() % (data.len() + 1), random().to_le_bytes()[3]);
                match (random() % 3, data.get_mut(at)) {
                    (0, Some(old)) => *old = byte,
                    (1, Some(_)) => drop(data.remove(at)),
                    _ => data.insert(at, byte),
                }
                target(&data);
            }
        }
    }
}
