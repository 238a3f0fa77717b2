package exec

import "golang.org/x/sys/unix"

func (s *Spec) prepareStreams(im *image) {
	if s.NewSession {
		im.try(unix.SYS_IOCTL, 0, unix.TIOCSCTTY) // the program can run without a terminal
	}
}

func (*Spec) prepareScheduling(*image) error { return nil }

func (s *Spec) prepareIdentity(im *image) error {
	if u := &s.Process.User; s.SetUser {
		// The first group of setgroups(2) is the effective group ID.
		im.setUser(u.UID, u.GID, append([]uint32{u.GID}, u.AdditionalGids...))
	}
	return nil
}
