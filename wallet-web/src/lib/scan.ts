/** Reads a QR code from a picture: the browser's own detector where it has one, else npm `qr`, loaded when needed. */

interface BarcodeDetectorLike {
  detect(source: CanvasImageSource): Promise<{ rawValue: string }[]>
}
type BarcodeDetectorClass = new (options: { formats: string[] }) => BarcodeDetectorLike

/** Longest side that is looked at, in pixels: enough for the largest code, and bounds the work. */
const SIDE_MAX = 1600

export async function readQr(source: CanvasImageSource, width: number, height: number): Promise<string | undefined> {
  if (!width || !height) return undefined
  return (await byBrowser(source)) ?? (await byLibrary(source, width, height))
}

async function byBrowser(source: CanvasImageSource): Promise<string | undefined> {
  const Detector = (globalThis as { BarcodeDetector?: BarcodeDetectorClass }).BarcodeDetector
  if (!Detector) return undefined
  try {
    return (await new Detector({ formats: ['qr_code'] }).detect(source))[0]?.rawValue
  } catch {
    return undefined
  }
}

async function byLibrary(source: CanvasImageSource, width: number, height: number): Promise<string | undefined> {
  const scale = Math.min(1, SIDE_MAX / Math.max(width, height))
  const canvas = new OffscreenCanvas(Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)))
  const context = canvas.getContext('2d', { willReadFrequently: true })
  if (!context) return undefined
  context.drawImage(source, 0, 0, canvas.width, canvas.height)
  const { decodeQR } = await import('qr/decode.js')
  try {
    return decodeQR(context.getImageData(0, 0, canvas.width, canvas.height))
  } catch {
    return undefined
  }
}
