#include "textflag.h"

#define SYS_clone	220
#define FLAGS	0x4111 // CLONE_VM | CLONE_VFORK | SIGCHLD

// func vfork() int
//
// The child runs on the parent's stack. The return address is in RA, of which the child has its own
// copy.
TEXT ·vfork(SB), NOSPLIT|NOFRAME, $0-8
	MOV	$SYS_clone, A7
	MOV	$FLAGS, A0
	MOV	$0, A1
	MOV	$0, A2
	MOV	$0, A3
	MOV	$0, A4
	ECALL
	MOV	A0, ret+0(FP)
	RET
