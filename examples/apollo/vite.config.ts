import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  base: "./", // dist can be served below any path
  plugins: [react()],
});
