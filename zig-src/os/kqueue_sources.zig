//! Events and processes as descriptors that become readable, where the system has neither eventfd nor pidfd: each is
//! a kqueue of its own with one knote in it.

const abi = @import("../abi.zig");
const kevent_file = @import("kevent.zig");
const Kevent = kevent_file.Kevent;
const EV = kevent_file.EV;
const EVFILT = kevent_file.EVFILT;
const NOTE = kevent_file.NOTE;

/// `kernel` has the system's calls, in the form of `os/bsd.zig`: the tests put a model of it in its place.
pub fn Sources(comptime kernel: type) type {
    return struct {
        pub fn eventCreate() i32 {
            return queueWith(change(0, EVFILT.USER, EV.ADD | EV.CLEAR, 0));
        }

        /// Without EV_CLEAR, which would take the trigger back at once.
        pub fn eventRaise(event: i32) i32 {
            return apply(event, change(0, EVFILT.USER, 0, NOTE.TRIGGER));
        }

        /// EAGAIN when it was not raised.
        pub fn eventClear(event: i32) i32 {
            var taken: Kevent = undefined;
            const code = take(event, &taken);
            return if (code == 0) kernel.failure(.AGAIN) else code;
        }

        /// Fills `exit` in where the status could not be had later.
        pub fn processOpen(pid: i32, exit: *abi.ProcessStatus) i32 {
            if (pid <= 0) return kernel.failure(.INVAL);
            const queue = queueWith(processEnd(pid, NOTE.EXIT | NOTE.EXITSTATUS));
            // macOS tells the status only of children and of what may be signalled, …
            if (queue == kernel.failure(.ACCES)) return queueWith(processEnd(pid, NOTE.EXIT));
            // … and finds no process that has ended, although as a child it is there until it is waited for.
            if (queue != kernel.failure(.SRCH) or !kernel.hasEnded(pid, exit)) return queue;
            return queueWith(raised_for_ever);
        }

        /// Fills `exit` in when the process has ended, as far as the system tells. Never reaps: a child stays its
        /// parent's to wait for.
        pub fn processStatus(queue: i32, exit: *abi.ProcessStatus) i32 {
            var event: Kevent = undefined;
            const code = take(queue, &event);
            if (code <= 0) return code;
            const is_told = event.filter == EVFILT.PROC and event.fflags & NOTE.EXITSTATUS == NOTE.EXITSTATUS;
            if (is_told) exit.* = kernel.exitOf(@intCast(event.data));
            // The kernel reports the end once, and the queue shall stay readable.
            return apply(queue, raised_for_ever);
        }

        fn queueWith(knote: Kevent) i32 {
            const queue = kernel.kqueue();
            if (queue < 0) return queue;
            const code = apply(queue, knote);
            if (code < 0) _ = kernel.close(queue);
            return if (code < 0) code else queue;
        }

        fn apply(queue: i32, one: Kevent) i32 {
            return kernel.kevent(queue, &.{one}, &.{}, null);
        }

        /// 1 when there was an event; 0 when there was none.
        fn take(queue: i32, event: *Kevent) i32 {
            return kernel.kevent(queue, &.{}, event[0..1], &kernel.timespec(0));
        }
    };
}

const raised_for_ever = change(0, EVFILT.USER, EV.ADD, NOTE.TRIGGER);

fn processEnd(pid: i32, notes: u32) Kevent {
    return change(@intCast(pid), EVFILT.PROC, EV.ADD, notes);
}

fn change(ident: usize, filter: i16, flags: u16, fflags: u32) Kevent {
    return .{ .ident = ident, .filter = filter, .flags = flags, .fflags = fflags, .data = 0, .udata = 0 };
}
