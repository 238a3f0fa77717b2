package diskimage

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/integration/guestroot"
)

const uuid = "01234567-89ab-cdef-0123-456789abcdef"

// createImage creates an image with a guest's root and a file /data/file of more than 500 KB. It
// returns the path of the image and the contents of the file.
func createImage(t *testing.T, fsType string) (path string, data []byte) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("root only: needs the tools that integration/deps.sh installs")
	}
	root := t.TempDir()
	if err := guestroot.Create(t.Context(), "amd64", root); err != nil {
		t.Fatal(err)
	}
	for i := range 100_000 {
		data = fmt.Appendln(data, i)
	}
	if err := os.Mkdir(filepath.Join(root, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "data/file"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), fsType)
	if err := Create(path, FileSystem{Type: fsType, Dir: root, UUID: uuid, Label: "label"}); err != nil {
		t.Fatal(err)
	}
	return path, data
}

func TestCreate(t *testing.T) {
	for _, fsType := range []string{"ext2", "ext3", "ext4", "xfs", "btrfs", "erofs", "squashfs", "f2fs"} {
		t.Run(fsType, func(t *testing.T) {
			path, data := createImage(t, fsType)
			switch fsType {
			case "squashfs":
				return
			case "f2fs":
			default:
				if err := Check(path, fsType); err != nil {
					t.Errorf("Check() of a new image = %v, want nil", err)
				}
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			const rawUUID = "\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef"
			if !bytes.Contains(raw[:1<<17], []byte(rawUUID)) {
				t.Error("the UUID is not in the superblock")
			}
			switch got, err := ReadFile(path, fsType, "/data/file"); fsType {
			case "erofs", "f2fs":
				if err == nil {
					t.Error("ReadFile() = nil, want an error")
				}
			default:
				if err != nil || !bytes.Equal(got, data) {
					t.Errorf("ReadFile() = %d bytes, %v, want the %d bytes of the file",
						len(got), err, len(data))
				}
				if _, err := ReadFile(path, fsType, "/data/none"); err == nil {
					t.Error("ReadFile() of a missing file = nil, want an error")
				}
			}
		})
	}
	image := filepath.Join(t.TempDir(), "image")
	err := Create(image, FileSystem{Type: "minix"})
	if err == nil || !strings.Contains(err.Error(), "minix") {
		t.Errorf("Create() of an unknown type = %v, want an error with the type", err)
	}
	if err := Create(image, FileSystem{Type: "ext4", Dir: "/no/such"}); err == nil {
		t.Error("Create() from a missing directory = nil, want an error")
	}
}

// TestModes checks the permissions of directories whose mode is not 0755.
func TestModes(t *testing.T) {
	path, _ := createImage(t, "xfs")
	text, err := run("xfs_db", args{"-r", "-c", "path /var/tmp", "-c", "p core.mode",
		"-c", "path /root", "-c", "p core.mode"}, path)
	if want := "core.mode = 041777\ncore.mode = 040700\n"; err != nil || text != want {
		t.Errorf("modes of /var/tmp and /root = %q, %v, want %q", text, err, want)
	}
	path, _ = createImage(t, "ext4")
	text, err = run("debugfs", args{"-R", "stat /var/tmp"}, path)
	if err != nil || !strings.Contains(text, "Mode:  01777") {
		t.Errorf("mode of /var/tmp = %q, %v, want 01777", text, err)
	}
}

// TestCheckFinds checks that Check finds damage and a journal that needs recovery.
func TestCheckFinds(t *testing.T) {
	for _, fsType := range []string{"ext4", "xfs", "btrfs", "erofs"} {
		path, _ := createImage(t, fsType)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt(make([]byte, 1<<20), 4096); err != nil {
			t.Fatal(err)
		}
		if err := Check(path, fsType); err == nil {
			t.Errorf("Check() of a damaged %s = nil, want an error", fsType)
		}
	}
	// According to its superblock, this file system is mounted.
	path, _ := createImage(t, "ext4")
	if _, err := run("debugfs", args{"-w", "-R", "feature needs_recovery"}, path); err != nil {
		t.Fatal(err)
	}
	if err := Check(path, "ext4"); err == nil || !strings.Contains(err.Error(), "needs_recovery") {
		t.Errorf("Check() of an ext4 that needs recovery = %v, want needs_recovery", err)
	}
	if err := Recover(path); err != nil {
		t.Error(err)
	}
	if err := Check(path, "ext4"); err != nil {
		t.Errorf("Check() of an ext4 after Recover() = %v, want nil", err)
	}
	if err := Check(path, "minix"); err == nil {
		t.Error("Check() of an unknown type = nil, want an error")
	}
}

func TestPartitions(t *testing.T) {
	var partitions []Partition
	for i := range 3 {
		image := filepath.Join(t.TempDir(), "image")
		contents := append(bytes.Repeat([]byte{byte(i + 1)}, 100_000), make([]byte, 1_000_000)...)
		contents = append(contents, "the end"...)
		if err := os.WriteFile(image, contents, 0o644); err != nil {
			t.Fatal(err)
		}
		partitions = append(partitions, Partition{Image: image, UUID: uuid[:35] + fmt.Sprint(i), Label: "näme"})
	}
	disk := filepath.Join(t.TempDir(), "disk")
	for name, create := range map[string]func() error{
		"GPT": func() error { return CreateGPT(disk, uuid, partitions) },
		"MBR": func() error { return CreateMBR(disk, 0x01234567, partitions) },
	} {
		if err := create(); err != nil {
			t.Fatal(err)
		}
		for _, p := range partitions {
			to := filepath.Join(t.TempDir(), "copy")
			if err := Extract(disk, p, to); err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(p.Image)
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(to)
			if err != nil || len(got) != 2<<20 || !bytes.HasPrefix(got, want) {
				t.Errorf("%s: partition has %d bytes, %v, want 2 MiB that begin with %s",
					name, len(got), err, p.Image)
			}
		}
	}
	image := partitions[0].Image
	for name, err := range map[string]error{
		"an invalid UUID": CreateGPT(disk, uuid, []Partition{{Image: image, UUID: "0123"}}),
		"a label that is too long": CreateGPT(disk, uuid, []Partition{
			{Image: image, UUID: uuid, Label: strings.Repeat("x", 37)},
		}),
		"five partitions": CreateMBR(disk, 1, make([]Partition, 5)),
		"a missing image": CreateMBR(disk, 1, []Partition{{Image: "/no/such"}}),
	} {
		if err == nil {
			t.Errorf("creating a disk with %s = nil, want an error", name)
		}
	}
}
