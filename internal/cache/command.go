package cache

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Command returns a command that runs a program of a set: a directory of the cache into which
// integration/deps.sh unpacks packages. The program uses the libraries of the set.
func Command(set, program string, args ...string) (*exec.Cmd, error) {
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, set)
	var paths, libraries []string
	for _, prefix := range []string{dir, dir + "/usr"} { // packages use one of them, or both
		for list, pattern := range map[*[]string]string{
			&paths: "/*bin/" + program, &libraries: "/lib/*-linux-gnu",
		} {
			found, err := filepath.Glob(prefix + pattern)
			if err != nil {
				return nil, err
			}
			*list = append(*list, found...)
		}
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no %s in %s: run integration/deps.sh to get it", program, dir)
	}
	cmd := exec.Command(paths[0], args...)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
	return cmd, nil
}
