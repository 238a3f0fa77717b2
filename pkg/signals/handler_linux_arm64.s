#include "textflag.h"

#define SYS_write	64

// handler is called by the kernel, on the signal stack, with the signal in R0 and the address of its rt_sigreturn in R30.
// What it changes in other registers rt_sigreturn undoes.
TEXT handler<>(SB), NOSPLIT|NOFRAME, $0
	SUB	$16, RSP
	MOVB	R0, (RSP)
	MOVW	·writeEnd(SB), R0
	MOVD	RSP, R1
	MOVD	$1, R2
	MOVD	$SYS_write, R8
	SVC
	ADD	$16, RSP
	RET

// func handlerAddress() uintptr
TEXT ·handlerAddress(SB), NOSPLIT, $0-8
	MOVD	$handler<>(SB), R0
	MOVD	R0, ret+0(FP)
	RET

// func restorerAddress() uintptr
TEXT ·restorerAddress(SB), NOSPLIT, $0-8
	MOVD	ZR, ret+0(FP)
	RET
