package diskimage

import (
	"errors"
	"fmt"
	"strings"
)

// Check checks the file system in the image path, of type ext2, ext3, ext4, xfs, btrfs or erofs. It
// returns the errors that the tools of the file system find, and an error if the next mount would
// have to recover a journal or log. It does not change the image.
func Check(path, fsType string) error {
	switch fsType {
	case "ext2", "ext3", "ext4":
		_, err := run("e2fsck", args{"-fn"}, path)
		err = errors.Join(err,
			wantLine("dumpe2fs", args{"-h", path}, "Filesystem state:", " clean"))
		if text, _ := run("dumpe2fs", args{"-h", path}); strings.Contains(text, "needs_recovery") {
			err = errors.Join(err, errors.New("not clean: needs_recovery"))
		}
		return err
	case "xfs":
		_, err := run("xfs_repair", args{"-n"}, path)
		return errors.Join(err,
			wantLine("xfs_logprint", args{"-t", path}, "log tail:", " <CLEAN>"))
	case "btrfs":
		_, err := run("btrfs", args{"check", "--check-data-csum"}, path)
		return errors.Join(err,
			wantLine("btrfs", args{"inspect-internal", "dump-super", path}, "log_root\t", "\t0"))
	case "erofs":
		_, err := run("fsck.erofs", args{}, path)
		return err
	}
	return fmt.Errorf("%s: checking file systems of type %q is not supported", path, fsType)
}

// wantLine runs a tool. It returns an error if the first line of the output that contains name does
// not end with end.
func wantLine(program string, options args, name, end string) error {
	text, err := run(program, options)
	if err != nil {
		return err
	}
	before, after, found := strings.Cut(text, name)
	line, _, _ := strings.Cut(after, "\n")
	line = before[strings.LastIndexByte(before, '\n')+1:] + name + line
	if !found || !strings.HasSuffix(line, end) {
		return fmt.Errorf("not clean: %s: %s", program, strings.TrimSpace(line))
	}
	return nil
}

// Recover runs e2fsck on an ext2, ext3 or ext4 file system that was not unmounted, as at boot. It
// recovers the journal. It fails if e2fsck corrects anything else.
func Recover(path string) error {
	_, err := run("e2fsck", args{"-p"}, path)
	return err
}
