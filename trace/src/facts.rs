//! Facts about the traced run: plain data and its encoding.

use crate::number::{put, put_text, take, take_byte, take_text};

/// Facts known before the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The app.
    pub app: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Heaps of the image it was taken from, such as `app=tlsf libos=tlsf`.
    pub composition: String,
    /// Names of the recorded components; events refer to them by index.
    pub components: Vec<String>,
    /// Their slots in the image's statistics page, in the same order.
    pub slots: Vec<u8>,
    /// The monitor: `kvm` or `process`.
    pub monitor: String,
    /// Path of the image, to find its debug file.
    pub image: String,
    /// Build id of the image, in hexadecimal.
    pub build_id: String,
    /// Memory of the image, in bytes.
    pub memory_bytes: u64,
    /// Frequency of the time stamp counter.
    pub tsc_khz: u64,
}

impl Facts {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for text in [
            &self.app,
            &self.composition,
            &self.monitor,
            &self.image,
            &self.build_id,
        ] {
            put_text(&mut out, text);
        }
        for texts in [&self.arguments, &self.components] {
            put(&mut out, texts.len() as u64);
            texts.iter().for_each(|text| put_text(&mut out, text));
        }
        out.extend(&self.slots);
        put(&mut out, self.memory_bytes);
        put(&mut out, self.tsc_khz);
        out
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let mut text = || take_text(bytes);
        let (app, composition, monitor, image, build_id) =
            (text()?, text()?, text()?, text()?, text()?);
        let mut texts = || {
            let count = take(bytes)?;
            (0..count)
                .map(|_| take_text(bytes))
                .collect::<Option<Vec<_>>>()
        };
        let (arguments, components) = (texts()?, texts()?);
        let slots = components.iter().map(|_| take_byte(bytes));
        let slots = slots.collect::<Option<Vec<_>>>()?;
        let (memory_bytes, tsc_khz) = (take(bytes)?, take(bytes)?);
        bytes.is_empty().then_some(Self {
            app,
            arguments,
            composition,
            components,
            slots,
            monitor,
            image,
            build_id,
            memory_bytes,
            tsc_khz,
        })
    }
}

/// Facts known after the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// Bytes of events in the file. The writer fills this in.
    pub bytes: u64,
    /// Times the image waited for room in the ring.
    pub waits: u64,
    /// Exit status of the run.
    pub status: u8,
    /// Why the trace ends before the run did. Empty: it does not.
    pub cut_short: String,
}

impl Ending {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, self.bytes);
        put(&mut out, self.waits);
        out.push(self.status);
        put_text(&mut out, &self.cut_short);
        out
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let ending = Self {
            bytes: take(bytes)?,
            waits: take(bytes)?,
            status: take_byte(bytes)?,
            cut_short: take_text(bytes)?,
        };
        bytes.is_empty().then_some(ending)
    }
}
