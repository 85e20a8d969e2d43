//! An image on stock QEMU, started by hand: the very file that our own monitors run, without any of them.

mod common;

use common::{bespoke, idle_percent, scratch, text};
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const QEMU: &str = "qemu-system-x86_64";
/// Nothing here takes so long, on the slowest accelerator.
const LONGEST: Duration = Duration::from_secs(30);

/// A kind of machine, and what makes its CPU.
#[derive(Clone, Copy, Debug)]
struct Kind {
    machine: &'static str,
    accelerator: &'static str,
    cpu: &'static str,
}

const MICROVM: &str = "microvm,acpi=off,pit=off,pic=off,rtc=off,isa-serial=on";
const TCG: (&str, &str) = ("tcg", "max");
const KVM: (&str, &str) = ("kvm", "host,-arch-capabilities");

/// The machines that work here.
fn kinds() -> Vec<Kind> {
    let mut accelerators = vec![TCG];
    match bespoke_monitor::probe_kvm() {
        Ok(()) => accelerators.push(KVM),
        Err(error) => eprintln!("tested without QEMU's KVM: {error}"),
    }
    let kind = |machine| {
        move |(accelerator, cpu)| Kind {
            machine,
            accelerator,
            cpu,
        }
    };
    let mut kinds: Vec<_> = accelerators.iter().copied().map(kind(MICROVM)).collect();
    // q35 with KVM spends seconds in its firmware where the KVM emulates it.
    kinds.push(kind("q35")(TCG));
    kinds
}

impl Kind {
    /// With the serial port for a console.
    fn command(&self, image: &Path, memory: &str, line: &str) -> Command {
        let mut command = self.without_console(image, memory, line);
        command.args(["-serial", "stdio"]);
        command
    }

    fn without_console(&self, image: &Path, memory: &str, line: &str) -> Command {
        let mut command = Command::new(QEMU);
        command
            .args(["-M", self.machine, "-accel", self.accelerator])
            .args(["-cpu", self.cpu, "-m", memory])
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            .args(["-no-reboot"])
            .args(["-global", "virtio-mmio.force-legacy=false"])
            .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"])
            .args(["-kernel", text(image), "-append", line]);
        command
    }
}

/// A machine that runs; it does not outlive the test.
struct Machine {
    child: Child,
    stdin: ChildStdin,
    chunks: Receiver<Vec<u8>>,
    said: String,
}

impl Machine {
    fn start(command: &mut Command) -> Self {
        // SAFETY: one system call between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            })
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("QEMU is installed (scripts/install-tools)");
        let (sender, chunks) = channel();
        let mut stdout = child.stdout.take().expect("a pipe");
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut chunk) {
                if sender.send(chunk[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            stdin: child.stdin.take().expect("a pipe"),
            child,
            chunks,
            said: String::new(),
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stdin.write_all(bytes).expect("QEMU reads its input");
    }

    /// Waits until the machine has said `words`.
    fn wait_for(&mut self, words: &str) {
        let deadline = Instant::now() + LONGEST;
        while !self.said.contains(words) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.chunks.recv_timeout(left) {
                Ok(chunk) => self.said += &String::from_utf8_lossy(&chunk),
                Err(error) => panic!("no {words:?} ({error}) in {:?}", self.said),
            }
        }
    }

    /// Waits for its end: the exit status, and all it said, with plain ends of lines.
    fn end(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + LONGEST;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.chunks.recv_timeout(left) {
                Ok(chunk) => self.said += &String::from_utf8_lossy(&chunk),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {:?}", self.said),
            }
        }
        let status = self.child.wait().expect("a child").code();
        (status, std::mem::take(&mut self.said))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What QEMU's `isa-debug-exit` makes of a code.
fn status(code: i32) -> Option<i32> {
    Some(2 * code.min(127) + 1)
}

fn image(app: &str, folder: &Path) -> PathBuf {
    let image = folder.join(app);
    bespoke(&["build", app, "--heap", "tlsf", "-o", text(&image)]).success();
    image
}

fn run(kind: Kind, image: &Path, memory: &str, line: &str, more: &[&str]) -> (Option<i32>, String) {
    Machine::start(kind.command(image, memory, line).args(more)).end()
}

#[test]
fn codes_and_faults_are_told() {
    let image = image("crash", &scratch("bare-crash"));
    let ways: &[(&str, i32, &str)] = &[
        ("exit", 42, ""),
        ("null", 139, "page fault: read of 0x0 at rip 0x"),
        (
            "jump",
            139,
            "execution of 0x123456789000 at rip 0x123456789000",
        ),
        ("stack", 139, "page fault: write of 0x"),
        ("thread-stack", 139, "page fault: write of 0x"),
        ("write-constant", 139, "page fault: write of 0x"),
        ("write-text", 139, "page fault: write of 0x"),
        ("run-data", 139, "page fault: execution of 0x"),
        ("run-heap", 139, "page fault: execution of 0x"),
        ("divide", 136, "fault 0, error code 0x0, at rip 0x"),
        ("abort", 134, "ended by signal 6"),
        ("panic", 134, "addr2line -fipe IMAGE.debug 0x"),
        ("memory", 0, "then NULL"),
    ];
    for kind in kinds() {
        for (way, code, words) in ways {
            let line = format!("arg=crash arg={way} status");
            let (ended, said) = run(kind, &image, "32M", &line, &[]);
            assert_eq!(ended, status(*code), "{kind:?} {way}: {said}");
            let last = format!("bespoke: ended with code {code}\n");
            assert!(
                said.contains(words) && said.ends_with(&last),
                "{kind:?} {way}: {said}"
            );
        }
    }
}

/// Files come by `-initrd`, input by the serial port with the ends that a terminal has.
#[test]
fn sqlite_reads_an_archive_and_the_serial_port() {
    let folder = scratch("bare-sqlite");
    let image = image("sqlite", &folder);
    fs::write(
        folder.join("first.sql"),
        "create table t(x); insert into t values(41);",
    )
    .unwrap();
    let packed = Command::new("tar")
        .args(["--format=ustar", "-C", text(&folder), "-cf"])
        .args([text(&folder.join("archive.tar")), "first.sql"])
        .status();
    assert!(packed.expect("tar runs").success());
    for kind in kinds() {
        let mut machine = Machine::start(
            kind.command(
                &image,
                "32M",
                "arg=sqlite3 arg=-init arg=/first.sql arg=/x.db",
            )
            .args(["-initrd", text(&folder.join("archive.tar"))]),
        );
        machine.send(b"select 'sum', x + 1 from t;\n");
        machine.wait_for("sum|42");
        // It sleeps meanwhile, and the port's interrupt wakes it; its clock is ours, though nobody told it the rate.
        let mut times = Vec::new();
        for name in ["first", "second"] {
            let question =
                format!("select '{name}', (julianday('now') - 2461000) * 86400, 'end';\n");
            let asked = Instant::now();
            machine.send(question.as_bytes());
            machine.wait_for("|end\n");
            let answer = machine.said.lines().last().expect("a line");
            let words: Vec<_> = answer.split('|').collect();
            assert_eq!(words[0], name, "{kind:?}: {}", machine.said);
            times.push((asked, words[1].parse::<f64>().expect("seconds")));
            machine.said.clear();
            std::thread::sleep(Duration::from_secs(1));
        }
        let ours = times[1].0.duration_since(times[0].0).as_secs_f64();
        let its = times[1].1 - times[0].1;
        assert!(
            (0.5..1.5).contains(&(its / ours)),
            "{kind:?}: {its} s of {ours} s"
        );
        machine.send(b".exit 7\n");
        let (ended, said) = machine.end();
        assert_eq!(ended, status(7), "{kind:?}: {said}");
        let mut machine = Machine::start(&mut kind.command(&image, "32M", "arg=sqlite3"));
        machine.send(b"select 6 * 7;\n\x04");
        let (ended, said) = machine.end();
        assert!(
            ended == status(0) && said.contains("42\n"),
            "{kind:?}: {ended:?} {said}"
        );
    }
}

#[test]
fn machines_of_the_wrong_size_are_refused_in_figures() {
    let folder = scratch("bare-sizes");
    let (hello, sqlite) = (image("hello", &folder), image("sqlite", &folder));
    for kind in kinds() {
        // The program's code is there, its data would lie beyond.
        let (ended, said) = run(kind, &sqlite, "6M", "", &[]);
        let words = "MiB, the machine has 5; give it more\n";
        let words = words.replace('5', if kind.machine == "q35" { "5" } else { "6" });
        assert_eq!(ended, status(125), "{kind:?}: {said}");
        assert!(
            said.starts_with("bespoke: the image needs ") && said.ends_with(&words),
            "{kind:?}: {said}"
        );
        let (ended, said) = run(kind, &hello, "4G", "", &[]);
        let words = "bespoke: of the machine's 4096 MiB an image can use those below its devices, ";
        assert!(
            ended == status(125) && said.starts_with(words),
            "{kind:?}: {ended:?} {said}"
        );
    }
}

/// Answers of a web server at `port` to `count` requests over one connection: status lines and bodies.
fn get(port: u16, count: usize) -> Vec<(String, Vec<u8>)> {
    let deadline = Instant::now() + LONGEST;
    // QEMU accepts before the image does, and then resets: the first answer tells that it serves.
    loop {
        match try_get(port, count) {
            Ok(answers) => return answers,
            Err(error) => assert!(Instant::now() < deadline, "no answer: {error}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn try_get(port: u16, count: usize) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(LONGEST))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut answers = Vec::new();
    for _ in 0..count {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: image\r\n\r\n")?;
        let (mut first, mut length, mut line) = (String::new(), 0, String::new());
        if reader.read_line(&mut first)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        while reader.read_line(&mut line)? > 2 {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().map_err(std::io::Error::other)?;
            }
            line.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        answers.push((first, body));
    }
    Ok(answers)
}

/// The network, its address by DHCP, on every way a stock machine has devices; an image that waits uses no processor.
#[test]
fn nginx_serves_over_every_bus_and_sleeps() {
    let image = image("nginx", &scratch("bare-nginx"));
    let page = fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../apps/nginx/www/index.html"
    ));
    let page = page.expect("the page that the image brings");
    let mut machines: Vec<_> = kinds()
        .into_iter()
        .map(|kind| match kind.machine {
            "q35" => (kind, vec!["-device", "virtio-net-pci,netdev=n"]),
            _ => (kind, vec!["-device", "virtio-net-device,netdev=n"]),
        })
        .collect();
    let (q35, _) = machines.last().expect("q35").clone();
    let behind_a_bridge = [
        "-device",
        "pcie-root-port,id=r,chassis=1",
        "-device",
        "virtio-net-pci,netdev=n,bus=r",
    ];
    machines.push((q35, behind_a_bridge.to_vec()));
    // Its firmware gives no addresses to what lies behind base address registers.
    let by_hand = [
        "-bios",
        "qboot.rom",
        "-device",
        "virtio-rng-pci",
        "-device",
        "virtio-net-pci,netdev=n",
    ];
    machines.push((q35, by_hand.to_vec()));
    for (kind, devices) in machines {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let port = port.expect("a free port").port();
        let network = format!("user,id=n,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:80");
        let machine = Machine::start(
            kind.command(&image, "64M", "arg=nginx")
                .args(["-netdev", &network])
                .args(&devices),
        );
        let answers = get(port, 300);
        for (status, body) in answers {
            assert_eq!(status, "HTTP/1.1 200 OK\r\n", "{kind:?} {devices:?}");
            assert!(body == page, "{kind:?} {devices:?}: another page");
        }
        let busy = idle_percent(machine.child.id());
        assert!(busy <= 2.0, "{kind:?} {devices:?}: {busy} % of a core");
        // Still there: the wait ends when a frame comes.
        assert_eq!(get(port, 1).len(), 1);
    }
}

#[test]
fn devices_that_cannot_be_driven_are_named() {
    let image = image("nginx", &scratch("bare-unfit"));
    let kind = *kinds().last().expect("q35");
    for (options, words) in [
        ("vectors=0", "it has no MSI-X"),
        (
            "disable-modern=on,disable-legacy=off",
            "it is of the old kind",
        ),
    ] {
        let device = format!("virtio-net-pci,{options}");
        let (ended, said) = run(kind, &image, "64M", "", &["-device", &device]);
        assert_eq!(ended, status(125), "{said}");
        let first = "bespoke: the virtio device 00:01.0 cannot be driven: ";
        assert!(said.starts_with(first) && said.contains(words), "{said}");
    }
    // Registers over the image's own memory would give it to the device, or the device's to it.
    let kind = kinds()[0];
    let line = "virtio_mmio.device=512@0x300000:5";
    let (ended, said) = run(kind, &image, "64M", line, &[]);
    let words = "bespoke: a device has its registers at 0x300000, where none can be\n";
    assert_eq!((ended, said.as_str()), (status(125), words));
}

/// Threads, timers, locks and sockets behave there, too; output by a virtio console, or the serial port on a q35, whose
/// bus an image without a network does not look at.
#[test]
fn threads_take_turns_and_speak_over_any_console() {
    let image = image("threads", &scratch("bare-threads"));
    for kind in kinds() {
        let line = "arg=threads status";
        let mut command = if kind.machine == "q35" {
            kind.command(&image, "64M", line)
        } else {
            let mut command = kind.without_console(&image, "64M", line);
            command
                .args(["-chardev", "stdio,id=c"])
                .args(["-device", "virtio-rng-device"])
                .args(["-device", "virtio-serial-device"])
                .args(["-device", "virtconsole,chardev=c"]);
            command
        };
        let (ended, said) = Machine::start(&mut command).end();
        assert_eq!(ended, status(0), "{kind:?}: {said}");
        let mut lines: Vec<_> = said.lines().collect();
        assert_eq!(lines.pop(), Some("bespoke: ended with code 0"), "{kind:?}");
        assert!(lines.len() > 10, "{said}");
        let wrong = lines.iter().find(|line| !line.ends_with(": right"));
        assert_eq!(wrong, None, "{kind:?}");
    }
}

/// What is begun when somebody asks for it: random bytes, of the CPU or of a device, and the time of day.
#[test]
fn random_bytes_and_the_time_are_there_when_asked_for() {
    let image = image("sqlite", &scratch("bare-asked"));
    let device = ["-device", "virtio-rng-device"];
    let words = "bespoke: this machine has no source of randomness";
    let line = "arg=sqlite arg=:memory: arg=select%20hex(randomblob(32))";
    for (cpu, devices, complains) in [
        ("max", &device[..], false),
        ("max", &[], false),
        ("max,-rdrand", &device, false),
        ("max,-rdrand", &[], true),
    ] {
        let kind = Kind { cpu, ..kinds()[0] };
        let answers = [(); 2].map(|()| {
            let (ended, said) = run(kind, &image, "64M", line, devices);
            assert_eq!(ended, status(0), "{cpu} {devices:?}: {said}");
            assert_eq!(said.contains(words), complains, "{cpu} {devices:?}: {said}");
            said.lines().last().expect("an answer").to_owned()
        });
        assert!(answers.iter().all(|answer| answer.len() == 64));
        assert_ne!(answers[0], answers[1], "{cpu} {devices:?}");
    }
    // A microvm has its battery-backed clock off here.
    let kind = *kinds().last().expect("q35");
    let line = "arg=sqlite arg=:memory: arg=select%20strftime('%25s','now')";
    let (ended, said) = run(kind, &image, "64M", line, &[]);
    assert_eq!(ended, status(0), "{said}");
    let seconds = said.lines().last().unwrap_or("").parse::<u64>();
    let seconds = seconds.unwrap_or_else(|_| panic!("no seconds: {said}"));
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a date");
    assert!(seconds.abs_diff(now.as_secs()) <= 3, "{seconds} {now:?}");
}

/// Address of a symbol in an image's debug file.
fn symbol(image: &Path, name: &str) -> u64 {
    let debug = image.with_extension("debug");
    let listed = Command::new("nm").arg(debug).output().expect("nm runs");
    let listed = String::from_utf8(listed.stdout).expect("text");
    let mut lines = listed
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let line = lines.find(|line| line[2] == name).expect("the symbol");
    u64::from_str_radix(line[0], 16).expect("an address")
}

/// What the stub promises (stub/stub.s): every instruction counted between the monitor's jump and CPL 3.
#[test]
fn the_stub_takes_less_than_a_thousand_instructions() {
    const MOST: usize = 1000;
    let folder = scratch("bare-stub");
    // A small image, and one on large pages, for which the boot tables are longer.
    for app in ["hello", "sqlite"] {
        let image = image(app, &folder);
        let entry = symbol(&image, "bespoke_pvh_entry");
        let body = symbol(&image, "bespoke_pvh_user_entry");
        let log = folder.join("instructions");
        let mut command = kinds()[0].command(&image, "32M", "arg=app arg=x arg=.exit");
        // A line an instruction, in the order they are executed.
        let part = format!("{entry:#x}..{body:#x}");
        command.args(["-singlestep", "-d", "exec,nochain", "-dfilter", &part]);
        let (ended, said) = Machine::start(command.args(["-D", text(&log)])).end();
        assert_eq!(ended, status(0), "{said}");
        let executed: Vec<u64> = fs::read_to_string(&log)
            .expect("QEMU's log")
            .lines()
            .filter_map(|line| line.split('/').nth(1))
            .map(|address| u64::from_str_radix(address, 16).expect("an address"))
            .take_while(|address| *address != body)
            .collect();
        assert_eq!(executed.first(), Some(&entry));
        eprintln!("{app}: {} instructions of the stub", executed.len());
        assert!((100..MOST).contains(&executed.len()), "{}", executed.len());
    }
}
