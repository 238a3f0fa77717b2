package exec

import (
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/fault"
	"github.com/krunbox/krunbox/pkg/sysfile"
)

// Workdir is the operation that changes to a working directory, process.cwd of the OCI runtime specification. It is made
// where it is missing.
type Workdir struct{ Path string }

// Describe implements boot.Op.
func (w Workdir) Describe() boot.Desc { return boot.Desc{Verb: "change directory", Object: w.Path} }

// Do implements boot.Op.
func (w Workdir) Do() error {
	err := unix.Chdir(w.Path)
	if err == unix.ENOENT {
		if err := sysfile.MakeDirs(w.Path); err != nil {
			return fault.Wrap(err, "make the working directory ", w.Path)
		}
		err = unix.Chdir(w.Path)
	}
	return fault.Wrap(err, "change to the working directory ", w.Path)
}
