//! What is done to the program, its state directory, its API and its clock, and undone.

use super::*;

impl Site<'_> {
    pub(super) fn begin(&mut self, fault: Fault) -> Verdict<()> {
        self.troubled = true;
        let undo = match fault {
            Fault::Kill => {
                self.kill();
                self.start();
                Undo::Nothing
            }
            Fault::Terminate => {
                self.terminate()?;
                self.start();
                Undo::Nothing
            }
            Fault::Pause => {
                self.signal("STOP");
                Undo::Nothing
            }
            Fault::SecondInstance => return self.second_instance(),
            Fault::Clock(seconds) => {
                self.set_clock(seconds);
                Undo::Nothing
            }
            Fault::StateFull => {
                if !self.disk.fill() {
                    self.limit_files(true);
                }
                Undo::Nothing
            }
            Fault::StateReadOnly => Undo::ReadOnly(ReadOnly::new(&self.state())),
            Fault::Truncated(file, share) => {
                if !self.cut(file, share) {
                    return Ok(());
                }
                Undo::Nothing
            }
            Fault::TokenRenewed => {
                self.renew_token()?;
                Undo::Nothing
            }
            Fault::Outage
            | Fault::Refused
            | Fault::Faulty(_)
            | Fault::Slow(_)
            | Fault::Dripping
            | Fault::Endless => {
                self.disturb_api(fault);
                Undo::Nothing
            }
            _ => match self.destination.begin(fault, self.seed) {
                Some(held) => Undo::Destination(held),
                None => return Ok(()),
            },
        };
        self.figures.count(fault.name());
        self.active.push((fault, undo));
        Ok(())
    }

    fn disturb_api(&self, fault: Fault) {
        match fault {
            Fault::Outage => self.sim.outage(true),
            Fault::Refused => self.sim.deny(true),
            Fault::Faulty(rate) => self.sim.set_faults(Faults::at_rate(rate, &ApiFault::QUICK)),
            Fault::Slow(time) => {
                self.sim
                    .set_faults(Faults::at_rate(0.5, &[ApiFault::Delay(time)]));
            }
            Fault::Dripping => self.sim.fail_next(None, ApiFault::SlowDrip, 1),
            _ => self
                .sim
                .fail_next(Some(Endpoint::Contacts), ApiFault::Endless, 1),
        }
    }

    /// Ends everything that lasts.
    pub fn heal(&mut self) {
        while let Some((fault, undo)) = self.active.pop() {
            drop(undo);
            match fault {
                Fault::Pause => self.signal("CONT"),
                Fault::Clock(_) => self.set_clock(0),
                Fault::StateFull => {
                    self.disk.free();
                    self.limit_files(false);
                }
                Fault::Outage => self.sim.outage(false),
                Fault::Refused => self.sim.deny(false),
                Fault::Faulty(_) | Fault::Slow(_) => self.sim.set_faults(Faults::none()),
                Fault::Dripping | Fault::Endless => self.sim.forget_next(),
                other => self.destination.end(other),
            }
        }
        self.figures.wrong_answers = self.sim.counters().faults;
    }

    fn second_instance(&mut self) -> Verdict<()> {
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        // The first may be about to end, or not have the lock yet; the second may not even get to the lock.
        let unreachable = |(fault, _): &(Fault, Undo)| *fault == Fault::StateReadOnly;
        if self.counted == 0 || self.active.iter().any(unreachable) {
            return Ok(());
        }
        let pid = running.pid();
        let second = self.program.run_beside(self.mode);
        self.figures.count(Fault::SecondInstance.name());
        let text = format!("{}{}", second.stdout, second.stderr);
        if second.code != Some(4) || !text.contains(&format!("process {pid} ")) {
            return Err(format!(
                "a second instance ended with {:?}: {text}",
                second.code
            ));
        }
        Ok(())
    }

    fn set_clock(&self, seconds: i64) {
        // Renamed, as it is read at any moment.
        let path = self.program.directory().join("clock");
        let new = self.program.directory().join("clock.new");
        // On a full disk it stays as it is.
        if fs::write(&new, format!("{seconds:+}"))
            .is_ok_and(|()| fs::metadata(&new).is_ok_and(|written| written.len() > 1))
        {
            fs::rename(new, path).unwrap();
        }
    }

    fn limit_files(&self, limited: bool) {
        if let (false, Some(running)) = (self.disk.mounted, &self.running) {
            limit_files(running.pid(), limited);
        }
    }

    /// Kills the program and cuts a file. Not between two lines of the spool: that is how an admin gives a request up.
    fn cut(&mut self, file: StateFile, share: f64) -> bool {
        if file == StateFile::Spool {
            self.sim.advance(Duration::from_secs(3 * 3600));
            let begin = Instant::now();
            while self.state_file(file).is_none() && begin.elapsed() < Duration::from_secs(5) {
                thread::sleep(Duration::from_millis(20));
            }
        }
        self.kill();
        let done = self.state_file(file).is_some_and(|path| {
            let bytes = fs::read(&path).unwrap();
            let mut length = (bytes.len() as f64 * share) as usize;
            if file == StateFile::Spool {
                let is_whole = |length: usize| length == 0 || bytes[length - 1] == b'\n';
                while length < bytes.len() && is_whole(length) {
                    length += 1;
                }
            }
            let file = OpenOptions::new().write(true).open(&path);
            // On a read-only directory it stays as it is.
            length < bytes.len() && file.is_ok_and(|file| file.set_len(length as u64).is_ok())
        });
        self.ledger_cut |= done && file != StateFile::Checkpoint;
        self.start();
        done
    }

    fn renew_token(&mut self) -> Verdict<()> {
        self.tokens += 1;
        let token = format!("renewed-token-{}", self.tokens);
        let path = self.program.directory().join("token");
        // The old one is refused before its admin has the new one.
        self.sim.renew_token(&token);
        self.has_old_token = true;
        self.dwell(Duration::from_millis(100))?;
        self.has_old_token = false;
        if fs::write(&path, &token).is_err() || fs::read_to_string(&path).unwrap() != token {
            // On a full disk there is room once it is healed.
            self.disk.free();
            fs::write(&path, &token).unwrap();
        }
        self.terminate()?;
        self.start();
        Ok(())
    }
}
