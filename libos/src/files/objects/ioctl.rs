//! `ioctl` of sockets: how much is on its way. Owns nothing.

use super::{Errno, Files, Guest, Host, Result, Waitable};
use linux_raw_sys::ioctl::{SIOCATMARK, TIOCOUTQ};

impl<H: Host> Files<H> {
    /// What sockets answer besides what all objects do; `ENOTTY` for what nobody knows.
    #[cold]
    pub(super) fn control_socket(
        &mut self,
        guest: Guest,
        waitable: Waitable,
        [request, address]: [usize; 2],
    ) -> Result {
        let request = request as u32;
        let value = match (waitable, request) {
            (Waitable::Unix(socket), TIOCOUTQ) => self.objects.unix_unsent(socket)?,
            // There is no urgent data.
            (Waitable::Unix(_), SIOCATMARK) => 0,
            (Waitable::Inet(socket), SIOCATMARK) if socket.is_stream() => 0,
            (Waitable::Inet(socket), TIOCOUTQ) => self.objects.inet_unsent(socket)?,
            (Waitable::Inet(_) | Waitable::Unix(_), _) => {
                let is_internet = matches!(waitable, Waitable::Inet(_));
                return self.interface_control(guest, is_internet, request, address);
            }
            _ => return Err(Errno::NOTTY),
        };
        guest.write(address, value as i32)?;
        Ok(0)
    }
}
