package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	nativeStarts = 300   // of each program
	nobody       = 65534 // user and group of the programs: an init must have no power over the host
)

// measureNative starts the native ones of the inits n times each on the host, in turns, and adds
// the times from start to exit to their rows. An init that fails is left out: progress is told. The
// calling goroutine stays bound to one processor.
func measureNative(
	ctx context.Context, rows []Row, inits []Init, n int, progress func(string),
) error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // nobody must reach the programs
		return err
	}
	programs := map[int]string{} // by row
	for i, init := range inits {
		if init.Native {
			programs[i] = filepath.Join(dir, strconv.Itoa(i), "krunbox")
			if err := copyProgram(programs[i], init.Path); err != nil {
				return err
			}
		}
	}
	if err := bindToProcessor(); err != nil {
		return err
	}
	for range n {
		for i, program := range programs {
			took, err := nativeStart(ctx, program)
			if err != nil {
				progress(fmt.Sprintf("%s: no native start: %v", inits[i].Name, err))
				delete(programs, i)
				continue
			}
			rows[i].Native = append(rows[i].Native, float64(took.Nanoseconds())/1e3)
		}
	}
	return ctx.Err()
}

// nativeStart runs a program and returns how long it took. The program has no arguments and no
// environment.
func nativeStart(ctx context.Context, program string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, program)
	cmd.Dir, cmd.Env = "/", []string{}
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	start := time.Now()
	err := cmd.Run()
	return time.Since(start), err
}

// copyProgram copies a program into a new directory. All users may execute the copy.
func copyProgram(to, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

// bindToProcessor binds the goroutine, and the processes that it starts, to the first processor
// that it may use.
func bindToProcessor() error {
	runtime.LockOSThread()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return fmt.Errorf("sched_getaffinity: %w", err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if all.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("sched_setaffinity: %w", err)
	}
	return nil
}
